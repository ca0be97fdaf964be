from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from service.domain import Document, TokenIds
from service.engine.scorer import Prompt
from service.errors import ProfileError
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.template import Template


def prompt(builder: PromptBuilder, query: str, texts: list[str]) -> Prompt:
    documents = [Document(str(i), text) for i, text in enumerate(texts)]
    return builder.build(builder.query_ids(query), [tokens.ids for tokens in builder.encode(documents)])


def spelt(builder: PromptBuilder, ids: TokenIds) -> str:
    tokenizer = Tokenizer.from_file(str(builder.profile.directory / "tokenizer.json"))
    return " ".join(str(tokenizer.id_to_token(int(id_))) for id_ in ids)


def changed(profile: Profile, **changes: object) -> Profile:
    return Profile.model_validate(profile.model_dump() | changes)


def test_the_template_is_followed_token_by_token(builder: PromptBuilder) -> None:
    built = prompt(builder, "read file", ["how to", "the"])
    assert spelt(builder, built.token_ids) == (
        "[QUERY] read file [A] how to [A] [B] the [B] rank 2 [QUERY] read file [RANK]"
    )
    assert spelt(builder, np.array(built.label_ids)) == "[A] [B]"


def test_an_identifier_in_a_passage_becomes_plain_text(builder: PromptBuilder) -> None:
    built = prompt(builder, "[A]", ["[B] > [A]", "a"])
    assert spelt(builder, built.token_ids) == (
        "[QUERY] ( a ) [A] ( b ) > ( a ) [A] [B] a [B] rank 2 [QUERY] ( a ) [RANK]"
    )


def test_passages_and_query_are_cut_to_their_budgets(builder: PromptBuilder) -> None:
    built = prompt(builder, "a " * 9, ["the " * 30, "to"])
    assert spelt(builder, built.token_ids) == (
        f"[QUERY] {'a ' * 5}[A] {'the ' * 8}[A] [B] to [B] rank 2 [QUERY] {'a ' * 5}[RANK]"
    )


def test_a_passage_that_would_be_cut_is_found(builder: PromptBuilder) -> None:
    fits, overlong = Document("1", "the " * 8), Document("2", "the " * 8, title="how")
    assert builder.overlong([fits, fits]) is None
    assert builder.overlong([fits, overlong, fits]) == 1


def test_a_title_stands_before_its_text(builder: PromptBuilder) -> None:
    (tokens,) = builder.encode([Document("1", "to read", title="how")])
    assert spelt(builder, tokens.ids) == "how to read"


@pytest.mark.parametrize("texts", [[], [""], [" \n ", "\x00"], ["", "a", ""]])
def test_empty_passages_keep_their_place(builder: PromptBuilder, texts: list[str]) -> None:
    built = prompt(builder, "", texts)
    assert len(built.label_ids) == len(texts)
    assert [int(id_) for id_ in built.token_ids if id_ in built.label_ids] == [
        label for label in built.label_ids for _ in range(2)
    ]


@pytest.mark.parametrize(("context", "second", "third"), [(32, 7, 8), (31, 7, 7), (30, 6, 6), (29, 6, 6), (28, 5, 5)])
def test_long_passages_are_cut_evenly_when_the_context_is_short(
    profile: Profile, context: int, second: int, third: int
) -> None:
    # 15 tokens are the template's, the query's and the labels': 17 of 32 stay for passages of 2, 7 and 8
    tight = PromptBuilder(changed(profile, context_tokens=context, window=3, stride=1))
    built = prompt(tight, "read file", ["a a", "the " * 7, "to " * 30])
    assert spelt(tight, built.token_ids) == (
        f"[QUERY] read file [A] a a [A] [B] {'the ' * second}[B] [C] {'to ' * third}[C] rank 3 [QUERY] read file [RANK]"
    )


@given(lengths=st.lists(st.integers(0, 12), max_size=6), query=st.integers(0, 9), context=st.integers(40, 128))
def test_no_prompt_overruns_the_context(profile: Profile, lengths: list[int], query: int, context: int) -> None:
    builder = _builders.setdefault(context, PromptBuilder(changed(profile, context_tokens=context)))
    built = prompt(builder, "a " * query, ["the " * length for length in lengths])
    assert len(built.token_ids) <= context


_builders: dict[int, PromptBuilder] = {}


def test_examples_stand_where_the_template_has_a_place_for_them(profile: Profile) -> None:
    template = {"prefix": "{examples}to {query}", "passage": "{label}{text}", "suffix": "[RANK]"}
    example = {"query": "how", "passages": ["a file", "the rank"], "answer": "[B]"}
    shown = template | {"example": "read {query}{passages}[RANK]{answer}"}

    def ids(**changes: Any) -> list[int]:
        builder = PromptBuilder(Profile.model_validate(profile.model_dump() | changes))
        return [int(id_) for id_ in prompt(builder, "q", ["a"]).token_ids]

    without = ids(template=shown)
    assert without == ids(template=template)
    spelt = PromptBuilder(profile)._encoder.trusted("read how[A]a file[B]the rank[RANK][B]").tolist()
    assert ids(template=shown, examples=[example]) == [*spelt, *without]


def test_a_prompt_shows_more_than_a_window_where_labels_and_context_allow(profile: Profile) -> None:
    tokens = changed(profile, passage_tokens=40, window=3, stride=1, context_tokens=256)
    assert PromptBuilder(tokens).longest == 6
    assert PromptBuilder(tokens.model_copy(update={"context_tokens": 200})).longest == 5
    assert PromptBuilder(tokens.model_copy(update={"context_tokens": 40})).longest == 3


def test_more_passages_than_a_prompt_shows_are_an_error(builder: PromptBuilder) -> None:
    with pytest.raises(ValueError, match="7 passages in a prompt of at most 6"):
        prompt(builder, "", [""] * 7)


def test_a_budget_that_leaves_no_room_for_passages_is_refused(profile: Profile) -> None:
    with pytest.raises(ProfileError, match="context_tokens"):
        PromptBuilder(changed(profile, context_tokens=30))


def test_a_label_of_several_tokens_is_refused(profile: Profile) -> None:
    with pytest.raises(ProfileError, match="'fish' is not a single token"):
        PromptBuilder(changed(profile, labels=("[A]", "fish"), window=2, stride=1))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe", b"not json"])
def test_a_tokenizer_that_cannot_be_used_is_refused(profile: Profile, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ProfileError, match=r"tokenizer\.json"):
        PromptBuilder(changed(profile, folder=tmp_path))


def test_the_encoding_follows_what_changes_a_passages_tokens(profile: Profile, builder: PromptBuilder) -> None:
    assert PromptBuilder(changed(profile, description="else", window=3, stride=1)).encoding == builder.encoding
    assert PromptBuilder(changed(profile, passage_tokens=7)).encoding != builder.encoding


def test_the_fingerprint_follows_what_changes_an_answer(profile: Profile, builder: PromptBuilder) -> None:
    assert PromptBuilder(changed(profile, description="else")).fingerprint == builder.fingerprint
    other = Template(prefix="{query}", passage="{label}{text}", suffix="[RANK]")
    for changes in ({"stride": 1}, {"template": other.model_dump()}, {"calibration": {"slope": 2.0}}):
        assert PromptBuilder(changed(profile, **changes)).fingerprint != builder.fingerprint


def test_tokens_made_at_build_time_are_those_made_on_the_fly(builder: PromptBuilder) -> None:
    documents = [Document(str(i), f"how to read file {i} " * 3) for i in range(600)]
    together = builder.encode(documents)
    assert {tokens.encoding for tokens in together} == {builder.encoding}
    for document, tokens in zip(documents, together, strict=True):
        (alone,) = builder.encode([document])
        np.testing.assert_array_equal(alone.ids, tokens.ids)


def test_several_threads_may_tokenise_at_once(builder: PromptBuilder) -> None:
    documents = [Document(str(i), f"[A] how to read file {i}") for i in range(500)]
    expected = [tokens.ids.tolist() for tokens in builder.encode(documents)]
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(builder.encode, [documents] * 8):
            assert [tokens.ids.tolist() for tokens in found] == expected


def test_an_unknown_character_is_no_label(profile: Profile) -> None:
    changes = {"labels": ("[A]", "\u4e00"), "window": 2, "stride": 1}
    with pytest.raises(ProfileError, match=r"is not a single token behind '\[RANK\]', which ends as .*'\[UNK\]'"):
        PromptBuilder(Profile.model_validate(profile.model_dump() | changes))


def test_two_labels_that_are_one_token_are_refused(profile: Profile) -> None:
    changes = {"labels": ("a", "A"), "window": 2, "stride": 1}
    with pytest.raises(ProfileError, match="two of them are the same token"):
        PromptBuilder(Profile.model_validate(profile.model_dump() | changes))
