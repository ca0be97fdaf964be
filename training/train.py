"""Trains the recast decoder on windows for a given number of minutes; can be stopped and resumed at any time.

The schedule follows the clock: curriculum and learning rate (warm-up, then cosine) depend on the share of the minutes
that has passed, so a run ends well on a machine of any speed.

usage: python -m training.train --data DIR --start recast.safetensors --out DIR [--minutes N]
"""

import argparse
import math
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training import losses
from training.data import load_collection
from training.model import Decoder, Probe, load_decoder, take
from training.settings import Settings, TrainSettings, load_settings
from training.vocabulary import IRRELEVANT_ID, LABEL_IDS, RELEVANT_ID
from training.windows import SERVED_LABELS, Batch, Shape, Window, WindowSampler, batches, shape_at

_DEV_SHAPE = Shape(passages=8, cut=48, hard=0.7)
_PROBE_HASTE = 5.0  # times the learning rate
_TRUST_FROM = 0.2  # share of the run from which the teacher's order of unjudged passages counts in full


def label_logits(model: Decoder, hidden: Tensor, labels: Tensor) -> Tensor:
    """Logits [batch, n] of the labels [batch, n] at the last position."""
    return torch.einsum("bw,bnw->bn", hidden.float(), F.embedding(labels, model.tokens))


def top1(scores: Tensor, gold: Tensor) -> float:
    """Share of the windows with a relevant passage whose best score is a relevant one's."""
    judged = gold.any(-1)
    return (
        gold.gather(1, scores.argmax(-1, keepdim=True))[:, 0][judged].float().mean().item()
        if judged.any()
        else math.nan
    )


def loss_of(
    model: Decoder, probe: Probe, batch: Batch, settings: TrainSettings, progress: float
) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum of all signals, and each of them for the log.

    Relevance, names and vectors are read before the last layer, where the last position can still attend to them.
    """
    hidden, before, shares = model(batch.ids, batch.last)
    closing, others = take(before, batch.closing).float(), take(before, batch.others).float()
    direction = model.tokens[RELEVANT_ID] - model.tokens[IRRELEVANT_ID]
    rows = model.tokens[LABEL_IDS[:SERVED_LABELS]]
    logits, relevance = label_logits(model, hidden, batch.labels), closing @ direction
    gold, teacher, trust = batch.gold.float(), batch.teacher, min(1.0, progress / _TRUST_FROM)
    mass = losses.wanted_mass(gold, teacher, settings.temperature)
    attended = shares.mean(1).gather(1, batch.closing)
    passages, queries = probe(closing, take(before, batch.last[:, None])[:, 0].float())
    parts = {
        "passages": losses.recalled(passages, batch.vectors[:, :-1]),
        "queries": losses.recalled(queries, batch.vectors[:, -1]),
        "compared": losses.compared(queries, passages, batch.vectors, settings.temperature),
        "ranknet": losses.weighted_ranknet(logits, gold, teacher, trust),
        "soft": losses.distillation(logits, mass),
        "dense": losses.auxiliary(relevance, gold, teacher, trust),
        "nothing": losses.nothing(others @ direction),
        "attention": losses.attention(attended, mass),
        "named": losses.identity(closing, rows, batch.labels - LABEL_IDS[0]),
        "favour": losses.favour(hidden.float().mean(0), rows),
    }
    auxiliary = settings.auxiliary_weight + (settings.auxiliary_weight_end - settings.auxiliary_weight) * progress
    fading = 1 - (1 - settings.recall_weight_end / settings.recall_weight) * progress
    weights = {
        "passages": settings.recall_weight * fading,
        "queries": settings.recall_weight * fading,
        "compared": settings.compare_weight,
        "ranknet": 1.0,
        "soft": settings.distillation_weight,
        "dense": auxiliary,
        "nothing": auxiliary,
        "attention": settings.attention_weight,
        "named": settings.identity_weight,
        "favour": settings.favour_weight,
    }
    total = sum((weights[name] * part for name, part in parts.items()), torch.zeros(()))
    shown = {name: part.item() for name, part in parts.items()}
    hits = {
        "top1": top1(logits, batch.gold),
        "closing1": top1(relevance, batch.gold),
        "attended": attended.sum(-1).mean().item(),
    }
    return total, shown | hits


def learning_rate(settings: TrainSettings, step: int, progress: float) -> float:
    """Warm-up by steps, then cosine by the share of the schedule that has passed."""
    low, high = settings.final_learning_rate, settings.learning_rate
    cosine = low + (high - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return cosine * min(1.0, (step + 1) / settings.warmup_steps)


class Mixture:
    """All collections, some queries of each held out; a share is the weight times the root of the queries."""

    def __init__(self, folder: Path, settings: Settings, random: np.random.Generator) -> None:
        self._random = random
        self._samplers, shares, self.dev = [], [], []
        for name, weight in settings.data.weights.items():
            if not (folder / f"{name}.npz").exists():
                continue
            collection = load_collection(folder / f"{name}.npz")
            fixed = np.random.default_rng(settings.seed)
            order = fixed.permutation(len(collection.queries))
            held, kept = order[: settings.data.dev_queries], order[settings.data.dev_queries :]
            self._samplers.append(WindowSampler(collection, kept, random))
            shares.append(weight * math.sqrt(len(kept)))
            dev = WindowSampler(collection, held, fixed)
            self.dev.append((name, [dev.sample(_DEV_SHAPE, int(query)) for query in held]))
        self._shares = np.array(shares) / sum(shares)

    def sample(self, shape: Shape, count: int) -> list[Window]:
        """Windows of one shape, their collections drawn by share."""
        picks = self._random.choice(len(self._samplers), count, p=self._shares)
        return [self._samplers[i].sample(shape) for i in picks]


@torch.inference_mode()
def dev_top1(model: Decoder, mixture: Mixture) -> dict[str, float]:
    """Share of held-out windows (8 passages, mostly mined negatives) whose first label is a relevant passage's."""
    found = {}
    for name, windows in mixture.dev:
        hits = 0.0
        for batch in batches(windows, 8192):
            logits = label_logits(model, model(batch.ids, batch.last)[0], batch.labels)
            hits += batch.gold.gather(1, logits.argmax(-1, keepdim=True)).sum().item()
        found[name] = hits / len(windows)
    return found


class Run:
    """The state that survives a stop: model, optimiser, steps, windows, tokens and seconds so far."""

    def __init__(self, model: Decoder, settings: TrainSettings, path: Path) -> None:
        self.model, self.probe, self.path = model, Probe(), path
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": settings.weight_decay, "haste": 1.0},
            {"params": others, "weight_decay": 0.0, "haste": 1.0},
            {"params": list(self.probe.parameters()), "weight_decay": 0.0, "haste": _PROBE_HASTE},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)
        self.counts = {"step": 0, "windows": 0, "tokens": 0}
        self.seconds = 0.0

    def save(self) -> None:
        """Writes the checkpoint, replacing the last one in one move."""
        state = {
            "model": self.model.state_dict(),
            "probe": self.probe.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "counts": self.counts,
            "seconds": self.seconds,
        }
        torch.save(state, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)

    def resume(self) -> None:
        """Takes up the checkpoint."""
        state = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.probe.load_state_dict(state["probe"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.counts, self.seconds = state["counts"], state["seconds"]

    def step(self, batch: Batch, settings: TrainSettings, progress: float) -> dict[str, float]:
        """One optimiser step on one batch; returns the parts of the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["haste"] * learning_rate(settings, self.counts["step"], progress)
        loss, parts = loss_of(self.model, self.probe, batch, settings, progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        self.counts["step"] += 1
        self.counts["windows"] += len(batch.ids)
        self.counts["tokens"] += batch.ids.numel()
        return parts


def train(
    run: Run,
    mixture: Mixture,
    settings: TrainSettings,
    random: np.random.Generator,
    skip: float = 0.0,
    report_every: int = 25,
) -> None:
    """Steps until the minutes are over or a signal asks to stop; then saves."""
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    budget, last = settings.minutes * 60, time.monotonic()
    saved, reported, parts = run.seconds, (run.seconds, dict(run.counts)), []
    while run.seconds < budget and not stopped:
        progress = skip + (1 - skip) * run.seconds / budget
        shape = shape_at(progress, random)
        tokens = int(settings.batch_tokens * (1 + progress))
        per_window = min(1900, shape.passages * (shape.cut + 2) + 40)
        drawn = mixture.sample(shape, max(4, 4 * tokens // per_window))
        parts += [run.step(batch, settings, progress) for batch in batches(drawn, tokens)]
        now = time.monotonic()
        run.seconds, last = run.seconds + now - last, now
        if len(parts) >= report_every:
            reported = report(run, parts, reported, budget)
            parts = []
        if run.seconds - saved > settings.checkpoint_minutes * 60:
            saved = run.seconds
            run.save()
            found = dev_top1(run.model, mixture)
            print(
                f"dev top-1 {np.mean(list(found.values())):.3f}  " + " ".join(f"{n} {v:.2f}" for n, v in found.items()),
                flush=True,
            )
    run.save()


def report(
    run: Run, parts: list[dict[str, float]], since: tuple[float, dict[str, int]], budget: float
) -> tuple[float, dict[str, int]]:
    """Prints means and rates since the last report; returns where this one stands."""
    seconds, counts = since
    spent = run.seconds - seconds
    rates = {name: (run.counts[name] - counts[name]) / spent for name in ("windows", "tokens")}
    means = " ".join(f"{name} {np.nanmean([part[name] for part in parts]):.3f}" for name in parts[-1])
    print(
        f"{run.seconds / 60:5.1f} min  step {run.counts['step']}  windows {run.counts['windows']}  {means}"
        f"  {rates['windows']:.1f} windows/s {rates['tokens']:.0f} tokens/s"
        f"  {(budget - run.seconds) / 60:.0f} min left",
        flush=True,
    )
    return run.seconds, dict(run.counts)


def main() -> None:
    """Starts or resumes a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "start", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="instead of the configured minutes")
    parser.add_argument(
        "--skip", type=float, default=0.0, help="share of the schedule to skip, for weights that have seen it"
    )
    arguments = parser.parse_args()
    settings = load_settings()
    options = (
        settings.train
        if arguments.minutes is None
        else TrainSettings(**{**vars(settings.train), "minutes": arguments.minutes})
    )
    torch.manual_seed(settings.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = Run(load_decoder(arguments.start), options, arguments.out / "checkpoint.pt")
    if run.path.exists():
        run.resume()
    random = np.random.default_rng([settings.seed, run.counts["step"]])
    train(run, Mixture(arguments.data, settings, random), options, random, arguments.skip)


if __name__ == "__main__":
    main()
