"""Tokenizers of several families at the joints of a prompt, and labels with more spellings than one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer

from service.errors import ProfileError
from service.ranking.profile import find
from service.ranking.prompt import PromptBuilder
from service.tokenization.encoder import TokenEncoder
from tests.ranking.families import CORPUS, byte_level_bpe, sentencepiece_bpe, unigram, with_tokenizer

families = pytest.mark.parametrize("family", [sentencepiece_bpe, byte_level_bpe, unigram])

Family = Callable[[], Tokenizer]


def encoder(tokenizer: Tokenizer, folder: Path, *identifiers: str) -> TokenEncoder:
    tokenizer.save(str(folder / "tokenizer.json"))
    return TokenEncoder(folder / "tokenizer.json", identifiers)


@families
@pytest.mark.parametrize(
    ("front", "back"), [("the query", " bees"), ("the", "."), (".", "\nthe"), ("query:", " bees make")]
)
def test_a_text_goes_on_as_the_whole_would(family: Family, tmp_path: Path, front: str, back: str) -> None:
    tokenizer = family()
    tokens = encoder(tokenizer, tmp_path)
    whole = tokenizer.encode(front + back, add_special_tokens=False).ids
    joined = [*tokens.trusted(front).tolist(), *tokens.continuing(back).tolist()]
    assert tokenizer.decode(joined) == tokenizer.decode(whole)
    if family is not unigram or back.startswith(" "):  # this unigram model puts ▁ at the beginning of every piece
        assert joined == whole


def test_no_blank_creeps_in_between_pieces(tmp_path: Path) -> None:
    tokens = encoder(sentencepiece_bpe(), tmp_path)
    spelt = [tokens.spelling(id_) for id_ in tokens.continuing(".").tolist()]
    assert spelt == ["."]
    assert [tokens.spelling(id_) for id_ in tokens.trusted(".").tolist()] == ["▁", "."]


def test_a_text_brings_the_blank_of_the_template_along(tmp_path: Path) -> None:
    tokens = encoder(sentencepiece_bpe(), tmp_path)
    for lead, first in ((" ", "▁bees"), ("", "b")):
        (ids,) = tokens.untrusted(["bees"], 9, lead=lead)
        assert tokens.spelling(int(ids[0])) == first


@pytest.mark.parametrize(
    ("text", "label", "spelling"),
    [("[", "A", "A"), ("answer:", " A", "▁A"), (">\n", "A", "A"), ("[/INST][", "B", "B"), ("</s>\n<|x|>\n[", "T", "T")],
)
def test_of_a_labels_spellings_the_one_that_belongs_there_is_picked(
    tmp_path: Path, text: str, label: str, spelling: str
) -> None:
    tokens = encoder(sentencepiece_bpe("[INST]", "[/INST]"), tmp_path)
    assert tokens.single("A") != tokens.single("▁A") != tokens.single("<0x41>")
    assert tokens.spelling(tokens.following(text, label)) == spelling


@pytest.mark.parametrize(
    ("text", "label"), [("answer: ", "A"), ("[", "AB"), ("[", "passage"), ("[", "[A"), ("[", "\u4e00")]
)
def test_a_label_that_is_not_one_token_there_is_refused(tmp_path: Path, text: str, label: str) -> None:
    tokens = encoder(sentencepiece_bpe(), tmp_path)
    if label == "passage":
        assert tokens.single("▁passage")
    with pytest.raises(ProfileError, match="is not a single token behind"):
        tokens.following(text, label)


def test_a_label_that_the_vocabulary_joins_with_the_bracket_before_it_is_refused(tmp_path: Path) -> None:
    joined = byte_level_bpe([*CORPUS, *["[A] [B] [C]"] * 20])
    tokens = encoder(joined, tmp_path)
    assert tokens.single("A")
    with pytest.raises(ProfileError, match=r"label 'A' is not a single token behind '\[', which ends as '\[A'"):
        tokens.following("[", "A")


@pytest.mark.parametrize(
    ("opening", "accepted"),
    [("<s>", True), ("", False), ("<s><s>", False), ("<s>x<s>", False), ("\n<s>", False), ("</s>", False)],
)
def test_a_prompt_begins_as_the_tokenizer_begins_texts(tmp_path: Path, opening: str, accepted: bool) -> None:
    shipped = find("first")
    template = shipped.template.model_copy(update={"prefix": opening + "{count}: {query}\n"})
    profile = with_tokenizer(
        shipped.model_copy(update={"template": template}), sentencepiece_bpe("[INST]", "[/INST]"), tmp_path
    )
    if accepted:
        assert PromptBuilder(profile).label_tokens == profile.labels
    else:
        with pytest.raises(ProfileError, match=r"template.prefix: a prompt begins with <s>, once"):
            PromptBuilder(profile)


@families
def test_what_opens_a_text_is_told(family: Family, tmp_path: Path) -> None:
    tokenizer = family()
    tokens = encoder(tokenizer, tmp_path)
    assert [tokens.spelling(id_) for id_ in tokens.opening] == (["<s>"] if family is sentencepiece_bpe else [])


def test_marks_that_are_not_called_special_are_kept_out_of_passages_too(tmp_path: Path) -> None:
    tokenizer = byte_level_bpe()
    tokenizer.add_tokens([AddedToken("<odd>", special=False, normalized=False)])
    tokens = encoder(tokenizer, tmp_path)
    for mark in ("<think>", "<odd>", "<|im_start|>"):
        (ids,) = tokens.untrusted([f"the {mark} dog"], 50)
        assert tokens.single(mark) not in ids
