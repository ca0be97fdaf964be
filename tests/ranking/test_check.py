from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from service.deadline import Deadline
from service.engine.admissible import PromptLimits
from service.engine.fake import FakeScorer
from service.engine.scorer import LabelLogits, Prompt
from service.errors import DeadlineExceeded, EngineError, EngineProtocolError, EngineUnavailable
from service.ranking.check import ANSWER, Finding, examine, longest_prompt
from service.ranking.profile import available
from service.ranking.prompt import PromptBuilder
from service.ranking.readings import Reading
from tests.ranking.families import stand_ins, tokenizer_of

pytestmark = pytest.mark.anyio

NECTAR = "nectar"


class Reads(FakeScorer):
    """A model that understands prompts, told by their text: ``answer`` gives the label values of one."""

    def __init__(self, builder: PromptBuilder, answer: Callable[[str, Prompt], LabelLogits]) -> None:
        super().__init__()
        self._tokenizer = tokenizer_of(builder)
        self._answer = answer

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        ids = [[id_ for part in (prompt.token_ids, *prompt.passages) for id_ in part.tolist()] for prompt in prompts]
        texts = [self._tokenizer.decode(each) for each in ids]
        return [self._answer("".join(text.split()), prompt) for text, prompt in zip(texts, prompts, strict=True)]


def knows(builder: PromptBuilder) -> Reads:
    """Finds the passage that speaks of nectar, behind the label nearest before it."""
    labels = [label if "[" in label else f"[{label}]" for label in builder.profile.labels]

    def answer(text: str, prompt: Prompt) -> LabelLogits:
        if builder.profile.reading is Reading.ENCODED:
            return (3.0 if NECTAR in text else -3.0,)
        if builder.profile.window == 1:
            return (0.0, 3.0 if NECTAR in text else -3.0)
        place = text.find(NECTAR)
        if builder.profile.grades:
            found = max(labels, key=lambda label: text.rfind(label, 0, place))
            return (0.0, 0.0, 0.0, 9.0 if f"passage{found.strip('[]')}?" in text else -9.0)
        return tuple(float(text.rfind(label, 0, place)) for label in labels[: len(prompt.label_ids)])

    return Reads(builder, answer)


async def findings(builder: PromptBuilder, scorer: FakeScorer) -> list[Finding]:
    return await examine(builder, scorer, Deadline.never())


@pytest.mark.parametrize("name", available())
async def test_a_model_that_finds_the_answer_everywhere_is_said_to(
    builders: dict[str, PromptBuilder], name: str
) -> None:
    assert NECTAR in ANSWER
    found = await findings(builders[name], knows(builders[name]))
    assert [finding.good for finding in found] == [True] * 3


async def test_labels_are_told_as_the_vocabulary_spells_them(builders: dict[str, PromptBuilder]) -> None:
    first = (await findings(builders["first"], knows(builders["first"])))[0]
    assert first.text == "each of the 20 labels is a single token where the template ends: 'A' to 'T'"
    written = (await findings(builders["rank-zephyr"], knows(builders["rank-zephyr"])))[0]
    assert "does not answer with the 20 labels" in written.text


async def test_a_model_that_always_names_the_first_passage_is_found_out(builders: dict[str, PromptBuilder]) -> None:
    builder = builders["first"]
    stuck = Reads(builder, lambda _, prompt: tuple(-float(place) for place in range(len(prompt.label_ids))))
    *_, probe = await findings(builder, stuck)
    assert not probe.good
    assert "came first from 1 of 20 places, not from B, C, D" in probe.text
    assert "the template the one it was trained with?" in probe.text


@pytest.mark.parametrize(("yes", "no"), [(-1.0, -3.0), (2.0, 2.0), (1.0, 4.0)])
async def test_a_pointwise_model_that_does_not_know_the_answer_is_found_out(
    builders: dict[str, PromptBuilder], yes: float, no: float
) -> None:
    builder = builders["qwen3-reranker"]
    *_, probe = await findings(builder, Reads(builder, lambda text, _: (0.0, yes if NECTAR in text else no)))
    assert not probe.good
    assert f"log odds of {yes:.1f}" in probe.text
    assert f"at most {no:.1f} for others" in probe.text


async def test_a_context_too_short_is_told_with_what_it_takes(builder: PromptBuilder) -> None:
    longest = len(longest_prompt(builder).token_ids)
    *_, last = await findings(builder, FakeScorer(limits=PromptLimits(tokens=longest - 1)))
    assert not last.good
    assert f"longest has {longest} tokens: serve the model with room" in last.text
    within = await findings(builder, FakeScorer(limits=PromptLimits(tokens=longest)))
    assert within[1].good


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (EngineUnavailable("down"), "gives no answer: down"),
        (EngineProtocolError("half"), "not give each label a value"),
    ],
)
async def test_an_engine_that_fails_ends_the_check(builder: PromptBuilder, fault: EngineError, told: str) -> None:
    found = await findings(builder, FakeScorer(faults=[fault]))
    assert [finding.good for finding in found] == [True, False]
    assert told in found[-1].text


async def test_no_time_is_not_a_finding(builder: PromptBuilder) -> None:
    with pytest.raises(DeadlineExceeded):
        await examine(builder, FakeScorer(), Deadline.after(-1))


async def test_the_longest_prompt_uses_all_budgets(builders: dict[str, PromptBuilder]) -> None:
    for builder in builders.values():
        profile = builder.profile
        full = profile.context_tokens - profile.window
        assert longest_prompt(builder).tokens > min(full, profile.window * profile.passage_tokens)


def test_stand_ins_are_made_where_they_are_told(tmp_path: Path) -> None:
    assert stand_ins(tmp_path)["first"].profile.directory == tmp_path / "first"


async def test_encoders_that_do_not_know_the_answer_are_found_out(builders: dict[str, PromptBuilder]) -> None:
    builder = builders["onepass-embedded"]
    *_, probe = await findings(builder, Reads(builder, lambda text, _: (-1.0 if NECTAR in text else 2.0,)))
    assert not probe.good
    assert "at most 2.0 for others" in probe.text
