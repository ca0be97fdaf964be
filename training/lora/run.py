"""The training loop. It is seeded, and a run that was stopped and resumed ends with the same weights.

Windows are drawn a chunk at a time, each chunk with its own random numbers. So the state of a run is the adapter, the
optimizer, and which step of which chunk comes next.
"""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from training.lora.batches import grouped, last_logits, packed
from training.lora.examples import Example, Windows
from training.lora.objective import objective
from training.lora.recipe import Recipe

_CHUNK = 256  # windows drawn, sorted and packed together
_REPORT = 10  # steps


class LoraRun:
    """A model with an adapter on it, its optimizer, and its progress."""

    def __init__(self, model: Any, recipe: Recipe, path: Path) -> None:
        self.model, self.recipe, self.path = model, recipe, path
        self.device = next(model.parameters()).device
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self._trained = trained
        self.counts = {"chunk": 0, "done": 0, "step": 0, "windows": 0}

    def save(self) -> None:
        """Writes the checkpoint, replacing the last one in one move."""
        state = {
            "adapter": get_peft_model_state_dict(self.model),
            "optimizer": self.optimizer.state_dict(),
            "counts": self.counts,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)

    def resume(self) -> None:
        """Reads the checkpoint."""
        state = torch.load(self.path, weights_only=True, map_location=self.device)
        set_peft_model_state_dict(self.model, state["adapter"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.counts = state["counts"]

    def train(self, windows: Windows) -> bool:
        """Trains to the end, or until a signal asks to stop; then saves. Whether it is the end."""
        chunks = chunks_of(len(windows.queries))
        total = chunks * self.recipe.epochs
        self.model.train()
        saved = time.monotonic()
        with signals() as stopped:
            while self.counts["chunk"] < total and not stopped:
                steps = self._steps(windows, chunks)
                for group in steps[self.counts["done"] :]:
                    self._step(group, (self.counts["chunk"] + self.counts["done"] / len(steps)) / total)
                    self.counts["done"] += 1
                    if stopped:
                        break
                else:
                    self.counts["chunk"], self.counts["done"] = self.counts["chunk"] + 1, 0
                if time.monotonic() - saved > self.recipe.checkpoint_minutes * 60:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return self.counts["chunk"] == total

    def _steps(self, windows: Windows, chunks: int) -> list[list[list[Example]]]:
        """The batches of each step of the chunk that is next."""
        chunk = self.counts["chunk"]
        epoch, part = divmod(chunk, chunks)
        order = np.random.default_rng([self.recipe.seed, 0, epoch]).permutation(len(windows.queries))
        random = np.random.default_rng([self.recipe.seed, 1, chunk])
        drawn = [windows.draw(windows.queries[i], random) for i in order[part * _CHUNK : (part + 1) * _CHUNK]]
        batches = packed(drawn, self.recipe.batch_tokens)
        return list(grouped([batches[i] for i in random.permutation(len(batches))], self.recipe.accumulate))

    def _step(self, group: list[list[Example]], progress: float) -> None:
        """One step of the optimizer: the mean over the windows of a group of batches."""
        count = sum(map(len, group))
        sums: dict[str, float] = {}
        for batch in group:
            logits = last_logits(self.model, [example.prompt for example in batch], self.device)
            loss, parts = objective(logits, batch, self.recipe.rank_weight)
            torch.autograd.backward(loss / count)
            sums = {name: sums.get(name, 0.0) + value for name, value in parts.items()}
        for option in self.optimizer.param_groups:
            option["lr"] = learning_rate(self.recipe, self.counts["step"], progress)
        torch.nn.utils.clip_grad_norm_(self._trained, self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.counts["step"] += 1
        self.counts["windows"] += count
        if self.counts["step"] % _REPORT == 0:
            shown = " ".join(f"{name} {value / count:.3f}" for name, value in sums.items())
            print(f"step {self.counts['step']}  windows {self.counts['windows']}  {shown}  {progress:.0%}", flush=True)


@contextmanager
def signals() -> Iterator[list[int]]:
    """A list to which SIGTERM and Ctrl-C add their number instead of ending the process."""
    received: list[int] = []
    wanted = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda number, _: received.append(number)) for number in wanted]
    try:
        yield received
    finally:
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)


def chunks_of(queries: int) -> int:
    """How many chunks an epoch has."""
    return math.ceil(queries / _CHUNK)


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Warm-up by steps, then half a cosine down to zero."""
    cosine = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return cosine * min(1.0, (step + 1) / recipe.warmup_steps)
