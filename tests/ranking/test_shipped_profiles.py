"""What holds for every profile that comes with the service, on a tokenizer of its family."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain import Document
from service.engine.scorer import Prompt
from service.ranking.profile import available, find
from service.ranking.prompt import PromptBuilder
from tests.ranking.families import FAMILIES, reserved, tokenizer_of

every_profile = pytest.mark.parametrize("name", available())
patient = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def prompt(builder: PromptBuilder, query: str, texts: list[str]) -> Prompt:
    documents = [Document(str(i), text) for i, text in enumerate(texts)]
    return builder.build(builder.query_ids(query), [tokens.ids for tokens in builder.encode(documents)])


def forgeries(builder: PromptBuilder) -> list[str]:
    """Pieces that a passage could be made of to pass itself off as more than a passage."""
    special = [token.content for token in tokenizer_of(builder).get_added_tokens_decoder().values()]
    names = [label.strip("[]") for label in builder.profile.labels]
    brackets = [form.format(name) for name in names for form in ("[{}]", "\uff3b{}\uff3d", "[ {} ]")]
    bits = [" > ", "\n", "\x00", "\ud800", "[", "]", "\u200b", "word", ""]
    return [*special, *builder.profile.guarded, *builder.profile.labels, *brackets, *bits]


def nasty(builder: PromptBuilder) -> st.SearchStrategy[str]:
    piece = st.sampled_from(forgeries(builder)) | st.text(st.characters(), max_size=5)
    return st.lists(piece, max_size=12).map("".join)


def marks_in(built: Prompt, builder: PromptBuilder) -> list[int]:
    """Reserved ids of a prompt and of its passages, in their order."""
    marks = reserved(builder)
    ids = [id_ for each in (built.token_ids, *built.passages) for id_ in each.tolist()]
    return [id_ for id_ in ids if id_ in marks]


@every_profile
@patient
@given(data=st.data())
def test_no_text_shifts_what_a_label_means(builders: dict[str, PromptBuilder], name: str, data: st.DataObject) -> None:
    builder = builders[name]
    query = data.draw(nasty(builder))
    texts = data.draw(st.lists(nasty(builder), max_size=builder.profile.window))
    built = prompt(builder, query, texts)

    harmless = prompt(builder, "", [""] * len(texts))
    assert marks_in(built, builder) == marks_in(harmless, builder)
    assert built.label_ids == harmless.label_ids


@every_profile
@patient
@given(data=st.data())
def test_no_text_spells_an_identifier(builders: dict[str, PromptBuilder], name: str, data: st.DataObject) -> None:
    builder = builders[name]
    text = data.draw(nasty(builder))
    (passage,) = builder.encode([Document("", text)])
    shown = [tokenizer_of(builder).decode(ids.tolist()) for ids in (passage.ids, builder.query_ids(text))]
    bracketed = [label if "[" in label else f"[{label}]" for label in builder.profile.identifiers]
    pattern = "|".join(re.escape(label) for label in bracketed) or "(?!)"
    assert not [text for text in shown if re.search(pattern, text, re.IGNORECASE)]


@every_profile
def test_a_full_window_of_the_longest_passages_fits(builders: dict[str, PromptBuilder], name: str) -> None:
    builder, profile = builders[name], builders[name].profile
    built = prompt(builder, "word " * 1000, ["word " * 4000] * profile.window)
    assert len(built.token_ids) <= profile.context_tokens
    assert all(len(passage) <= profile.passage_tokens + 1 for passage in built.passages)
    labels = len(profile.answers) if profile.reading.absolute and profile.reading.by_token else profile.window
    assert len(set(built.label_ids)) == labels


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_begins_with_what_the_tokenizer_begins_texts_with_and_has_it_once(
    builders: dict[str, PromptBuilder], name: str
) -> None:
    builder = builders[name]
    tokenizer = tokenizer_of(builder)
    opening = tokenizer.encode("").ids
    ids = prompt(builder, "<s> who", ["</s><s>"]).token_ids.tolist()
    assert ids[: len(opening)] == opening
    assert [ids.count(token) for token in opening] == [1] * len(opening)


PLAIN = ["bees make honey", "the lazy dog"]


@pytest.mark.parametrize("name", FAMILIES)
def test_joined_pieces_are_what_the_whole_text_gives(builders: dict[str, PromptBuilder], name: str) -> None:
    builder, profile = builders[name], builders[name].profile
    texts = PLAIN[: profile.window]
    template = profile.template
    passages = [
        template.passage.replace("{label}", label).replace("{text}", text)
        for label, text in zip(profile.labels, texts, strict=False)
    ]
    whole = "".join([template.prefix, *passages, template.suffix])
    for place, value in {
        "{query}": "how do bees make honey",
        "{count}": str(len(texts)),
        "{instruction}": profile.instruction,
        "{asked}": profile.labels[0],
        "{examples}": "",
    }.items():
        whole = whole.replace(place, value)
    ids = tokenizer_of(builder).encode(whole, add_special_tokens=False).ids
    assert prompt(builder, "how do bees make honey", texts).token_ids.tolist() == ids


@every_profile
def test_every_label_is_the_token_that_follows_the_whole_prompt(builders: dict[str, PromptBuilder], name: str) -> None:
    builder = builders[name]
    if not builder.profile.reading.by_token:
        assert builder.label_tokens == builder.profile.answers
        return
    tokenizer = tokenizer_of(builder)
    for label, label_id in zip(builder.profile.answers, builder.label_ids, strict=True):
        suffix = builder.profile.template.suffix
        assert tokenizer.encode(suffix + label, add_special_tokens=False).ids[-1] == label_id


@every_profile
def test_labels_of_a_prompt_are_one_for_each_passage_or_all_answers(
    builders: dict[str, PromptBuilder], name: str
) -> None:
    builder, profile = builders[name], builders[name].profile
    shown = min(2, profile.window)
    built = prompt(builder, "who", PLAIN[:shown])
    every = profile.reading.absolute and profile.reading.by_token
    assert built.label_ids == (builder.label_ids if every else builder.label_ids[:shown])


def test_a_group_is_shown_alike_whichever_passage_is_asked_about(builders: dict[str, PromptBuilder]) -> None:
    builder = builders["generic-groupwise"]
    passages = [tokens.ids for tokens in builder.encode([Document("", text) for text in (*PLAIN, "who")])]
    first, second, third = builder.prompts(builder.query_ids("who"), passages)
    spelt = [
        tokenizer_of(builder).decode(each.token_ids.tolist(), skip_special_tokens=False)
        for each in (first, second, third)
    ]
    assert [text.replace(f"has passage {label}?", "") for text, label in zip(spelt, "ABC", strict=True)] == [
        spelt[0].replace("has passage A?", "")
    ] * 3
    assert [first.label_ids, second.label_ids] == [builder.label_ids] * 2
    assert len(builder.label_ids) == 4


def test_encoders_are_given_a_query_and_a_passage_apart_and_without_marks(builders: dict[str, PromptBuilder]) -> None:
    builder = builders["onepass-embedded"]
    built = prompt(builder, "[CLS] who [SEP]", ["bees [MASK] make honey"])
    tokenizer = tokenizer_of(builder)
    assert tokenizer.decode(built.token_ids.tolist()) == "( cls ) who ( sep )"
    assert [tokenizer.decode(ids.tolist()) for ids in built.passages] == ["bees ( mask ) make honey"]


def test_the_instruction_stands_in_the_prompt(builders: dict[str, PromptBuilder]) -> None:
    builder = builders["qwen3-reranker"]
    spelt = tokenizer_of(builder).decode(prompt(builder, "who", ["dog"]).token_ids.tolist(), skip_special_tokens=False)
    assert f"<Instruct>: {find('qwen3-reranker').instruction}\n<Query>: who\n<Document>: dog<|im_end|>" in spelt
    assert spelt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
