"""Do all servers read the same logits? Label logits and nDCG@10 against a float32 reference, on real windows.

    python -m loadtest.vllm_agreement FOLDER --qrels test_official_full \
        --decode http://127.0.0.1:8101 --head http://127.0.0.1:8102

The servers are those of ``vllm_servers.py``, with its tiny model, or serve the Llama in ``--model``.
FOLDER holds lists to rerank (``candidates.jsonl``) and judgements. The reference ranks every list with a sliding
window; the engines then score the very same windows, and rank the lists themselves. Logits are compared after each
window's mean is taken off, for only differences count.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadtest.tiny_model import NAME, find, write_model
from loadtest.vllm_reference import ReferenceScorer
from service.corpus.beir import BeirFolder
from service.corpus.candidate_lists import CandidateList, given_lists
from service.deadline import Deadline
from service.engine.scorer import LabelLogits, Prompt, Scorer
from service.engine.vllm.discovery import GENERATED, Needs
from service.engine.vllm.replica import Policy
from service.engine.vllm.scorer import VllmOptions, connect
from service.evaluation.metrics import mean_scores
from service.evaluation.runs import ranked_list
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Ranker

NEAR = 0.05
"""Two passages whose reference logits differ by less are a near-tie: their order may turn round."""


@dataclass
class Recorded:
    """A scorer that keeps what it was asked and what it answered, and is not asked the same twice."""

    scorer: Scorer
    prompts: list[Prompt] = field(default_factory=list)
    answers: list[LabelLogits] = field(default_factory=list)
    known: dict[bytes, LabelLogits] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The inner scorer's."""
        return self.scorer.model

    async def open(self) -> None:
        """Open the inner scorer."""
        await self.scorer.open()

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        """The inner scorer's answers."""
        for prompt in prompts:
            key = prompt.token_ids.tobytes()
            if key not in self.known:
                [self.known[key]] = await self.scorer.score([prompt], deadline)
            self.prompts.append(prompt)
            self.answers.append(self.known[key])
        return self.answers[-len(prompts) :]

    async def ready(self) -> bool:
        """The inner scorer's."""
        return await self.scorer.ready()

    async def close(self) -> None:
        """Close the inner scorer."""
        await self.scorer.close()


async def main() -> None:
    """Rank with the reference, then compare every engine with it."""
    options = _options()
    profile = find(options.profile).model_copy(update={"stride": options.stride})
    builder = PromptBuilder(profile)
    folder = BeirFolder(options.folder)
    lists = list(itertools.islice(given_lists(folder), options.queries))
    qrels = folder.qrels(options.qrels)
    qrels = {each.query_id: qrels[each.query_id] for each in lists}

    async def measure(name: str, scorer: Scorer) -> float:
        began = time.monotonic()
        run = {each.query_id: await _rank(Ranker(builder, scorer), each) for each in lists}
        ndcg = mean_scores(run, qrels).ndcg_at_10
        print(f"{name:<28} nDCG@10 {ndcg:.4f}   ({time.monotonic() - began:.0f} s)", flush=True)
        return ndcg

    engines = await _engines(options, profile, builder)  # before the reference takes its time: one may be missing
    with tempfile.TemporaryDirectory() as scratch:
        reference = Recorded(ReferenceScorer(options.model or write_model(profile, Path(scratch))))
    expected = await measure("float32 reference", reference)
    tokens = [len(prompt.token_ids) for prompt in reference.prompts]
    print(f"{len(tokens)} windows of {min(tokens)} to {max(tokens)} tokens, mean {np.mean(tokens):.0f}", flush=True)
    for name, scorer in engines:
        engine = Recorded(scorer)
        answers = await engine.score(reference.prompts, Deadline.never())
        print(f"{name:<28} {_compared(reference.answers, answers)}", flush=True)
        print(f"{'':<28} nDCG@10 differs by {await measure(name, engine) - expected:+.4f}", flush=True)
        await engine.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--profile", default=NAME)
    parser.add_argument("--model", type=Path, help="folder of a Llama in safetensors; else the tiny one")
    parser.add_argument("--qrels", default="test")
    parser.add_argument("--stride", type=int, default=7, help="13 windows for a list of 100")
    parser.add_argument("--queries", type=int, default=None, help="only the first so many")
    parser.add_argument("--decode", action="append", default=[], help="URL of a server of that mode")
    parser.add_argument("--head", action="append", default=[])
    return parser.parse_args()


async def _engines(options: argparse.Namespace, profile: Profile, builder: PromptBuilder) -> list[tuple[str, Scorer]]:
    needs = Needs(builder.label_ids, profile.context_tokens - GENERATED)
    engines: list[tuple[str, Scorer]] = []
    for mode in ("decode", "head"):
        for url in getattr(options, mode):
            vllm = VllmOptions((url,), policy=Policy(probe_s=30, attempt_s=60))
            engines.append((f"vLLM {mode} {url}", await connect(vllm, needs)))
    return engines


async def _rank(ranker: Ranker, given: CandidateList) -> tuple[tuple[str, float], ...]:
    outcome = await ranker.rank(given.query, given.candidates, strategy="sliding", top_k=10, deadline=Deadline.never())
    if outcome.error is not None:
        raise outcome.error
    ranking = outcome.ranking
    documents = [given.candidates[position].document.id for position in ranking.order]
    return ranked_list(zip(documents, ranking.scores, strict=True))


def _compared(expected: Sequence[LabelLogits], found: Sequence[LabelLogits]) -> str:
    """How far two engines' logits are apart over the same windows."""
    largest = [np.abs(_centred(a) - _centred(b)).max() for a, b in zip(expected, found, strict=True)]
    spread = np.mean([np.ptp(each) for each in expected])
    same = np.mean([_order(a) == _order(b) for a, b in zip(expected, found, strict=True)])
    torn = sum(_reversals(a, b) for a, b in zip(expected, found, strict=True))
    return (
        f"largest difference of a window: mean {np.mean(largest):.4f}, most {np.max(largest):.4f} (logits span "
        f"{spread:.1f}); same order {same:.1%}; pairs more than {NEAR} apart that turned round: {torn}"
    )


def _centred(logits: LabelLogits) -> NDArray[np.float64]:
    return np.subtract(logits, np.mean(logits))


def _order(logits: LabelLogits) -> list[int]:
    return sorted(range(len(logits)), key=lambda label: -logits[label])


def _reversals(expected: LabelLogits, found: LabelLogits) -> int:
    """Pairs in another order than the reference's, though that has them clearly apart."""
    a, b = np.subtract.outer(expected, expected), np.subtract.outer(found, found)
    return int(((a > NEAR) & (b < 0)).sum())


if __name__ == "__main__":
    asyncio.run(main())
