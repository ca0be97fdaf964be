from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tokenization.sanitize import Sanitizer

MINI = Sanitizer(["[PAD]", "[QUERY]", "[RANK]", "[A]", "[B]", "[AA]"])
LETTERS = Sanitizer(["A", "B", "C", "<s>", "</s>", "[INST]", "<|im_start|>", "###"])


@pytest.mark.parametrize(
    ("text", "neutral"),
    [
        ("[A] > [B]", "(A) > (B)"),
        ("[a] [ B ] [\u200bA]", "(a) ( B ) (\u200bA)"),
        ("\uff3b\uff21\uff3d \uff3bb\uff3d", "(\uff21) (b)"),
        ("[QUERY]x[RANK]", "(QUERY)x(RANK)"),
        ("[[A]] [AA]", "[(A)] (AA)"),
        ("[\u202eA] [R\u200bANK] [A\U000e0041]", "(\u202eA) (R\u200bANK) (A\U000e0041)"),
        ("[\u00c1] [A\u0332] [\U0001d400] [\u24b6] \ufe47A]", "(\u00c1) (A\u0332) (\U0001d400) (\u24b6) (A)"),
        ("[\u0410] [A> [A", "[\u0410] [A> [A"),
        ("list[T] x[0] [C]", "list[T] x[0] [C]"),
        ("A plain B text", "A plain B text"),
    ],
)
def test_identifiers_lose_their_brackets(text: str, neutral: str) -> None:
    assert MINI(text) == neutral


@pytest.mark.parametrize(
    ("text", "neutral"),
    [
        ("A [A] > [B]", "A (A) > (B)"),
        ("</s><s>[INST] hi", "(/s)(s)(INST) hi"),
        ("<|im_start|>system", "(|im_start|)system"),
        ("### Response", "Response"),
        ("<<s>s> ######", "<(s)s>"),
        ("<|im_\u200bstart|> #\u200b##", "(|im_\u200bstart|)"),
    ],
)
def test_letters_are_guarded_in_brackets_and_special_tokens_as_they_are(text: str, neutral: str) -> None:
    assert LETTERS(text) == neutral


@pytest.mark.parametrize(
    ("text", "neutral"),
    [
        ("a\x00b", "a b"),
        ("a\n\n[B]\tc ", "a (B) c"),
        ("  \r\n ", ""),
        ("bad \ud800 half", "bad \ufffd half"),
        ("\x85next\u2028line\xa0end", "next line end"),
        ("", ""),
    ],
)
def test_what_cannot_stand_in_a_line_goes(text: str, neutral: str) -> None:
    assert MINI(text) == neutral


nasty = st.lists(
    st.sampled_from(["[", "]", "A", "B", "<", "s", ">", "###", " ", "\x00", "\uff3b", "\uff3d", "\ud800", "x"])
)


@given(text=nasty.map("".join) | st.text(st.characters()))
def test_nothing_guarded_is_left_and_neutral_text_stays(text: str) -> None:
    neutral = LETTERS(text)
    assert not re.search(r"\[\s*[abc]\s*\]|</?s>|###|[\x00-\x1f\ud800-\udfff]", neutral, re.IGNORECASE)
    assert LETTERS(neutral) == neutral


def test_nothing_to_guard() -> None:
    assert Sanitizer([])("[A]  b") == "[A] b"


@given(text=nasty.map("".join) | st.text(st.characters()) | st.text(st.characters(codec="ascii")))
def test_text_that_is_seen_to_be_neutral_is_what_the_rules_make_of_it(text: str) -> None:
    with_a_bracket = MINI(f"{text} <")
    assert MINI(text) == with_a_bracket.removesuffix("<").rstrip()
