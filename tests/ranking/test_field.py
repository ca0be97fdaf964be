"""FIRST read as rank_llm reads it: its published rules restated, over the same values.

The rules, from ``RankListwiseOSLLM._evaluate_logits`` of castorini/rank_llm: of the tokens at the first place whose
text is one letter up to the window's last, sort by log probability, best first; of two tokens with the same text, the
one listed later counts. The runtime lists tokens by falling probability, so that is the least likely one.
"""

from __future__ import annotations

import random

import pytest

from service.ranking.prompt import PromptBuilder
from service.ranking.readings import Reading
from service.ranking.strategies.comparing import ranked
from tests.ranking.families import stand_ins, tokenizer_of

WINDOWS = 100


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> PromptBuilder:
    return stand_ins(tmp_path_factory.mktemp("families"))["first"]


def rank_llm_order(listed: list[tuple[str, float]], window: int) -> list[str]:
    """Letters by the rules above, from tokens' texts and log probabilities as they are listed."""
    letters = {
        text: value for text, value in listed if len(text) == 1 and text.isalpha() and "A" <= text <= chr(64 + window)
    }
    return sorted(letters, key=lambda letter: -letters[letter])


def text_of(spelling: str) -> str:
    """A token as it reads where it stands: bytes are characters, ▁ is a blank."""
    if spelling.startswith("<0x"):
        return chr(int(spelling[3:5], 16))
    return spelling.replace("▁", " ")


def distribution(builder: PromptBuilder, seed: int) -> dict[str, float]:
    """Log probabilities of all tokens but those that are bytes, by spelling."""
    dice = random.Random(seed)
    spellings = [spelling for spelling in sorted(tokenizer_of(builder).get_vocab()) if not spelling.startswith("<0x")]
    return {spelling: dice.gauss(-9, 4) for spelling in spellings}


def listed(values: dict[str, float]) -> list[tuple[str, float]]:
    """Tokens' texts and values as the runtime lists them."""
    return sorted(((text_of(spelling), value) for spelling, value in values.items()), key=lambda pair: -pair[1])


def our_order(builder: PromptBuilder, values: dict[str, float]) -> list[str]:
    labels = builder.profile.labels
    logits = tuple(values[spelling] for spelling in builder.label_tokens)
    scores = Reading.LISTWISE.scores([logits])
    return [labels[place] for place in ranked(tuple(range(len(labels))), scores)]


def test_letters_have_several_spellings(first: PromptBuilder) -> None:
    vocabulary = tokenizer_of(first).get_vocab()
    for letter in first.profile.labels:
        assert {letter, f"▁{letter}", f"<0x{ord(letter):02X}>"} <= vocabulary.keys()
    assert first.label_tokens == first.profile.labels


@pytest.mark.parametrize("seed", range(WINDOWS))
def test_our_order_is_the_fields(first: PromptBuilder, seed: int) -> None:
    values = distribution(first, seed)
    assert our_order(first, values) == rank_llm_order(listed(values), first.profile.window)


@pytest.mark.parametrize("seed", range(WINDOWS))
def test_our_order_is_the_fields_where_a_likelier_byte_spells_the_letter_too(first: PromptBuilder, seed: int) -> None:
    values = distribution(first, seed)
    likelier = {f"<0x{ord(letter):02X}>": values[letter] + 1 for letter in first.profile.labels}
    assert our_order(first, values) == rank_llm_order(listed(values | likelier), first.profile.window)


def test_a_less_likely_byte_takes_the_letters_place_in_the_field_and_not_with_us(first: PromptBuilder) -> None:
    values = distribution(first, 0)
    best, *others = our_order(first, values)
    odd = values | {f"<0x{ord(best):02X}>": -99.0}
    assert rank_llm_order(listed(odd), first.profile.window) == [*others, best]
    assert our_order(first, odd) == [best, *others]
