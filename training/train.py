"""Trains the recast decoder on windows for a given number of minutes; can be stopped and resumed at any time.

The schedule follows the clock: curriculum and learning rate (warm-up, then cosine) depend on the share of the minutes
that has passed, so a run ends well on a machine of any speed.

usage: python -m training.train --data DIR --start recast.safetensors --out DIR [--minutes N]

``--start`` takes another run's ``checkpoint.pt`` or an exported model's folder as well: its weights, with a schedule of
its own. What an exported model was read as is kept in ``beginning.pt``, for ``training.average``.
"""

import argparse
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training import losses
from training.carve import Kept, fixed
from training.imported import read_model
from training.mixture import Mixture
from training.model import Decoder, load_decoder
from training.optimizer import Optimizer
from training.probe import Probe, held, read_vectors
from training.settings import Settings, TrainSettings, load_settings
from training.slots import FRONT, SLOT
from training.unpoint import unpoint
from training.windows import Batch, Shape, batches, shape_at

_SAMPLE = [(Shape(20, 78, 0.5), 80), (Shape(2, 78, 0.5), 1000)]  # that the probe is solved on
_WHOLE_FROM = 0.9  # of the schedule: from there on slots are not cut apart
BEGINNING = "beginning.pt"


def top1(scores: Tensor, gold: Tensor) -> float:
    """Share of the windows with a relevant passage whose best score is a relevant one's."""
    judged = gold.any(-1)
    return (
        gold.gather(1, scores.argmax(-1, keepdim=True))[:, 0][judged].float().mean().item()
        if judged.any()
        else math.nan
    )


def vectors(model: Decoder, probe: Probe, batch: Batch, whole: bool) -> tuple[Tensor, Tensor]:
    """What the probe reads: of passages [batch, n, width] and of queries [batch, width]."""
    if whole:
        closing, last = held(batch, model.below(batch.ids))
    else:
        closing, last = model.held(batch.ids, batch.last, batch.labels.shape[1])
    passages, queries = probe(closing.float(), last.float())
    return passages, queries


def loss_of(
    model: Decoder, probe: Probe, batch: Batch, settings: TrainSettings, progress: float
) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum of all signals, and each of them for the log."""
    gold, teacher = batch.gold.float(), batch.teacher
    passages, queries = vectors(model, probe, batch, progress > _WHOLE_FROM)
    cosines = (passages * queries[:, None]).sum(-1)
    parts = {
        "passages": losses.recalled(passages, batch.vectors[:, :-1]),
        "queries": losses.recalled(queries, batch.vectors[:, -1]),
        "compared": losses.compared(queries, passages, batch.vectors, settings.temperature),
        "held": losses.weighted_ranknet(cosines / settings.temperature, gold, teacher),
    }
    recall = settings.recall_weight + (settings.recall_weight_end - settings.recall_weight) * progress
    weights = {
        "passages": recall,
        "queries": recall,
        "compared": settings.compare_weight,
        "held": settings.held_weight,
    }
    total = sum((weights[name] * part for name, part in parts.items()), torch.zeros(()))
    shown = {name: part.item() for name, part in parts.items()}
    hits = {"top1": top1(cosines, batch.gold), "agreed": agreement(cosines, teacher)}
    return total, shown | hits


def agreement(found: Tensor, wanted: Tensor) -> float:
    """Mean correlation of the windows' scores with the teacher's."""
    a, b = (x - x.mean(-1, keepdim=True) for x in (found, wanted))
    return F.cosine_similarity(a, b, dim=-1).mean().item()


def learning_rate(settings: TrainSettings, step: int, progress: float) -> float:
    """Warm-up by steps, then cosine by the share of the schedule that has passed."""
    low, high = settings.final_learning_rate, settings.learning_rate
    cosine = low + (high - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return cosine * min(1.0, (step + 1) / settings.warmup_steps)


@torch.inference_mode()
def dev_top1(model: Decoder, probe: Probe, mixture: Mixture) -> dict[str, float]:
    """Share of held-out windows whose highest cosine is a relevant passage's."""
    found, agreed = {}, []
    for name, windows in mixture.dev:
        hits = 0.0
        for batch in batches(windows, 8192):
            passages, queries = vectors(model, probe, batch, False)
            cosines = (passages * queries[:, None]).sum(-1)
            agreed.append(agreement(cosines, batch.teacher))
            hits += batch.gold.gather(1, cosines.argmax(-1, keepdim=True)).sum().item()
        found[name] = hits / len(windows)
    return found | {"agreed": float(np.mean(agreed))}


class Run:
    """The state that survives a stop: model, optimiser, steps, windows, tokens and seconds so far."""

    def __init__(self, model: Decoder, settings: TrainSettings, path: Path) -> None:
        self.model, self.probe, self.path = model, Probe(), path
        self.optimizer = Optimizer(model, [*self.probe.parameters()], settings)
        self.fixed: list[Kept] = []
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
        loss, parts = loss_of(self.model, self.probe, batch, settings, progress)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        for kept in self.fixed:
            kept.hide()
        torch.nn.utils.clip_grad_norm_(self.model.layers[:-1].parameters(), settings.clip)
        self.optimizer.step(learning_rate(settings, self.counts["step"], progress))
        for kept in self.fixed:
            kept.restore()
        self.counts["step"] += 1
        self.counts["windows"] += len(batch.ids)
        self.counts["tokens"] += batch.ids.numel()
        return parts


def train(
    run: Run,
    mixture: Mixture,
    settings: TrainSettings,
    random: np.random.Generator,
    report_every: int = 25,
) -> None:
    """Steps until the minutes are over or a signal asks to stop; then saves."""
    with stopping() as stopped:
        _train(run, mixture, settings, random, report_every, stopped)
    run.save()


@contextmanager
def stopping() -> Iterator[list[int]]:
    """A list to which SIGTERM and Ctrl-C add their number, instead of ending the process."""
    stopped: list[int] = []
    wanted = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda received, _: stopped.append(received)) for number in wanted]
    try:
        yield stopped
    finally:
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)


def _train(
    run: Run,
    mixture: Mixture,
    settings: TrainSettings,
    random: np.random.Generator,
    report_every: int,
    stopped: list[int],
) -> None:
    budget, last = settings.minutes * 60, time.monotonic()
    saved, reported, parts = run.seconds, (run.seconds, dict(run.counts)), []
    while run.seconds < budget and not stopped:
        progress = run.seconds / budget
        shape = shape_at(progress, random, settings, mixture.spans)
        tokens = int(settings.batch_tokens * (1 + progress))
        per_window = FRONT + shape.passages * SLOT + 16
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
            if mixture.dev:
                found = dev_top1(run.model, run.probe, mixture)
                shown = " ".join(f"{n} {v:.2f}" for n, v in found.items())
                print(f"dev top-1 {np.mean(list(found.values())):.3f}  {shown}", flush=True)


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


def trained(start: Path, data: Path, checkpoint: Path, settings: Settings) -> Run:
    """Starts or resumes a run, and trains until its minutes are over or a signal asks to stop.

    ``start`` is a recast decoder, a checkpoint or an exported model's folder; ``data`` holds prepared collections.

    Raises:
        UnusableInput: the folder holds no model with slots.
    """
    torch.manual_seed(settings.seed)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    run = Run(read_model(start) if start.is_dir() else load_decoder(start), settings.train, checkpoint)
    resumed = checkpoint.exists()
    if resumed:
        run.resume()
    random = np.random.default_rng([settings.seed, run.counts["step"]])
    mixture = Mixture(data, settings, random)
    if not resumed:
        _begin(run, start, mixture)
    run.fixed = fixed(run.model)
    train(run, mixture, settings.train, random)
    return run


def _begin(run: Run, start: Path, mixture: Mixture) -> None:
    """Finds the probe: a checkpoint holds it, an exported model's pointer has read what it reads, else it is solved."""
    if start.suffix == ".pt":
        run.probe.load_state_dict(torch.load(start, weights_only=True)["probe"])
        return
    windows = [batch for shape, count in _SAMPLE for batch in batches(mixture.sample(shape, count), 8192)]
    if start.is_dir():
        run.probe.load_state_dict(unpoint(run.model, windows).state_dict())
        torch.save({"model": run.model.state_dict(), "probe": run.probe.state_dict()}, run.path.with_name(BEGINNING))
    else:
        with torch.no_grad():
            read_vectors(run.probe, [(batch, run.model.below(batch.ids)) for batch in windows])


def main() -> None:
    """Starts or resumes a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "start", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="instead of the configured minutes")
    arguments = parser.parse_args()
    settings = load_settings()
    if arguments.minutes is not None:
        settings = replace(settings, train=replace(settings.train, minutes=arguments.minutes))
    trained(arguments.start, arguments.data, arguments.out / "checkpoint.pt", settings)


if __name__ == "__main__":
    main()
