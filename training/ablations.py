"""What each choice of the recipe is worth: short runs that differ in one of them, measured on held-out queries.

Every run begins at the same weights and has the same minutes. A row tells how often the best passage of a held-out
window of twenty comes first, how the cosines in a window follow the teacher's, and how near the vectors of held-out
queries and of their passages are to the teacher's.

usage: python -m training.ablations --data DIR --start recast.safetensors --out DIR [--minutes N] [--only NAME ...]
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from training.composed import COMPOSED
from training.mixture import Mixture
from training.settings import Settings, load_settings
from training.train import Run, agreement, trained, vectors
from training.windows import batches

CHANGES: Mapping[str, Mapping[str, float]] = {
    "as it is": {},
    "ranking alone": {"recall_weight": 0.0, "recall_weight_end": 0.0, "compare_weight": 0.0},
    "no vectors": {"recall_weight": 0.0, "recall_weight_end": 0.0},
    "no comparison over the batch": {"compare_weight": 0.0},
    "no ranking": {"held_weight": 0.0},
    "random negatives": {"mined": 0.0},
    "always in a first stage's order": {"listed": 1.0},
    "no short texts": {"spans": 0.0},
    "no composed passages": {COMPOSED: 0.0},
    "AdamW alone": {"orthogonal_steps": 0},
    "AdamW alone, smaller batches": {"orthogonal_steps": 0, "batch_tokens": 4000},
}
"""What differs from ``config.yaml``, by name: settings of ``train``, or the weight of a collection."""

_HELD_OUT = 40  # queries of each collection


@dataclass(frozen=True)
class Row:
    """What came of one run, on held-out windows: means."""

    name: str
    windows: int
    first: float
    agreed: float
    passages: float
    queries: float

    def __str__(self) -> str:
        """A row in Markdown."""
        means = " | ".join(f"{value:.3f}" for value in (self.first, self.agreed, self.passages, self.queries))
        return f"| {self.name} | {self.windows:,} | {means} |"


HEAD = "| | windows | best first | agreement | passages | queries |\n|---|---|---|---|---|---|"


@torch.inference_mode()
def measured(name: str, run: Run, mixture: Mixture) -> Row:
    """A run's row, of the mixture's held-out windows."""
    found = []
    for batch in (batch for _, windows in mixture.dev for batch in batches(windows, 8192)):
        passages, queries = vectors(run.model, run.probe, batch, whole=False)
        cosines = (passages * queries[:, None]).sum(-1)
        near = (torch.cat([passages, queries[:, None]], 1) * batch.vectors).sum(-1)
        hit = batch.gold.gather(1, cosines.argmax(-1, keepdim=True)).float().mean().item()
        means = hit, agreement(cosines, batch.teacher), near[:, :-1].mean().item(), near[:, -1].mean().item()
        found += [means] * len(batch.ids)
    return Row(name, run.counts["windows"], *np.mean(found, 0).tolist())


def changed(settings: Settings, change: Mapping[str, float], minutes: float) -> Settings:
    """The settings with one change, for a short run with more queries held out."""
    weights = {name: change.get(name, weight) for name, weight in settings.data.weights.items()}
    others = {name: value for name, value in change.items() if name not in weights}
    train = replace(settings.train, minutes=minutes, **others)
    return replace(settings, train=train, data=replace(settings.data, dev_queries=_HELD_OUT, weights=weights))


def main() -> None:
    """Makes and measures every run that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "start", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", nargs="+", choices=CHANGES, default=list(CHANGES))
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only:
        settings = changed(load_settings(), CHANGES[name], arguments.minutes)
        run = trained(arguments.start, arguments.data, arguments.out / f"{name}.pt", settings)
        rows.append(measured(name, run, Mixture(arguments.data, settings, np.random.default_rng(settings.seed))))
        print(rows[-1], flush=True)
    print("\n".join([HEAD, *map(str, rows)]))


if __name__ == "__main__":
    main()
