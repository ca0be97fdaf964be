"""Does a model answer a profile's prompts as the profile says? Found out by asking it, and told in plain words.

Three things are looked at: the labels, the length of prompts, and whether the model tells an answer from passages about
other things wherever it stands. The last is what fails when a template is not the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.deadline import Deadline
from service.domain import Document, TokenIds
from service.engine.scorer import LabelLogits, Prompt, Scorer
from service.errors import EngineError, EngineProtocolError, EngineRejected
from service.ranking.prompt import PromptBuilder
from service.ranking.readings import Reading

QUESTION = "How do bees make honey?"
ANSWER = "Bees make honey from nectar: they thicken it in the hive by fanning it with their wings."
OTHERS = (
    "The train to the coast leaves at nine and stops at every village.",
    "A prime number has no divisors but one and itself.",
    "Yeast makes dough rise before it is baked.",
    "The moon pulls the sea and makes it rise twice a day.",
    "Iron turns to rust where water meets air.",
    "The museum is closed on Mondays and on public holidays.",
    "A violin has four strings, tuned in fifths.",
    "Glaciers carve valleys as they slide downhill.",
    "The invoice is due within thirty days.",
    "Chess is played on a board of sixty-four squares.",
    "Granite forms when molten rock cools slowly underground.",
    "The library lends books for three weeks.",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it is as it should be, and what to do where it is not."""

    good: bool
    text: str


async def examine(builder: PromptBuilder, scorer: Scorer, deadline: Deadline) -> list[Finding]:
    """What can be said of ``scorer`` as the engine of the builder's profile; the first failure of the engine ends it.

    The labels themselves are proven by the builder: it is not made for a profile whose labels are not single tokens
    where the template ends. Here the engine is shown to give each of them a value.

    Raises:
        DeadlineExceeded: the deadline came first.
    """
    findings = [Finding(True, _labels_text(builder))]
    for look in (_longest_prompt, _probe):
        try:
            findings.append(await look(builder, scorer, deadline))
        except EngineError as error:
            return [*findings, Finding(False, _failure(builder, error))]
    return findings


def _labels_text(builder: PromptBuilder) -> str:
    profile = builder.profile
    if not profile.reading.by_token:
        return f"the model does not answer with the {len(profile.answers)} labels; they need not be single tokens"
    spelt = f"{builder.label_tokens[0]!r} to {builder.label_tokens[len(profile.answers) - 1]!r}"
    return f"each of the {len(profile.answers)} labels is a single token where the template ends: {spelt}"


async def _longest_prompt(builder: PromptBuilder, scorer: Scorer, deadline: Deadline) -> Finding:
    prompt = longest_prompt(builder)
    await scorer.score([prompt], deadline)
    return Finding(
        True, f"the longest prompt, {_length(builder, prompt)} tokens, was answered with a value for each label"
    )


def longest_prompt(builder: PromptBuilder) -> Prompt:
    """A full window of passages and a query that use their budgets up."""
    profile = builder.profile
    (passage,) = builder.encode([Document("", ANSWER)])
    query = np.resize(builder.query_ids(QUESTION), profile.query_tokens)
    return builder.build(query, [np.resize(passage.ids, profile.passage_tokens)] * profile.window)


def _length(builder: PromptBuilder, prompt: Prompt) -> int:
    """Tokens of a prompt, its passage included where that is read apart from the query."""
    return prompt.tokens if builder.profile.reading is Reading.ENCODED else len(prompt.token_ids)


async def _probe(builder: PromptBuilder, scorer: Scorer, deadline: Deadline) -> Finding:
    query = builder.query_ids(QUESTION)
    answer, *others = (tokens.ids for tokens in builder.encode([Document("", text) for text in (ANSWER, *OTHERS)]))
    if builder.profile.reading.alone:
        prompts = [builder.build(query, [passage]) for passage in (answer, *others)]
        return _relevances(builder, await scorer.score(prompts, deadline))
    windows = [
        builder.prompts(query, _window(answer, others, place, builder)) for place in range(builder.profile.window)
    ]
    answers = iter(await scorer.score([prompt for window in windows for prompt in window], deadline))
    return _places(builder, [[next(answers) for _ in window] for window in windows])


def _window(answer: TokenIds, others: Sequence[TokenIds], place: int, builder: PromptBuilder) -> list[TokenIds]:
    """A full window of other passages with the answer at ``place``."""
    window = [others[number % len(others)] for number in range(builder.profile.window)]
    window[place] = answer
    return window


def _places(builder: PromptBuilder, answers: Sequence[Sequence[LabelLogits]]) -> Finding:
    profile = builder.profile
    missed = [
        label
        for place, (label, values) in enumerate(zip(profile.labels, answers, strict=False))
        if int(np.argmax(profile.reading.scores(values))) != place
    ]
    found = len(answers) - len(missed)
    text = f"the one passage that answers {QUESTION!r} came first from {found} of {len(answers)} places"
    return Finding(True, text) if not missed else Finding(False, f"{text}, not from {', '.join(missed)}. {_ADVICE}")


def _relevances(builder: PromptBuilder, answers: Sequence[LabelLogits]) -> Finding:
    odds = [builder.profile.reading.scores([values])[0] for values in answers]
    best = max(odds[1:])
    text = f"log odds of {odds[0]:.1f} for the passage that answers {QUESTION!r}, at most {best:.1f} for others"
    return Finding(True, text) if odds[0] > max(best, 0.0) else Finding(False, f"{text}. {_ADVICE}")


_ADVICE = "Is this the profile's own model, and the template the one it was trained with?"


def _failure(builder: PromptBuilder, error: EngineError) -> str:
    match error:
        case EngineRejected():
            tokens = _length(builder, longest_prompt(builder))
            return (
                f"the engine refuses a prompt: {error}. The profile's longest has {tokens} tokens: serve the model "
                "with room for that and what is generated, or lower context_tokens"
            )
        case EngineProtocolError():
            return f"the engine does not give each label a value: {error}. {_ADVICE}"
        case _:
            return f"the engine gives no answer: {error}"
