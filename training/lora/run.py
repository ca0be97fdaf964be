"""The loop: seeded, resumable, and the same whether it was stopped or not.

Windows are drawn a chunk at a time, each with random numbers of its own, so the state of a run is which chunk and which
step of it come next, beside the adapter and the optimiser.
"""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from training.lora.batches import grouped, last_logits, packed
from training.lora.examples import Example, Windows
from training.lora.objective import objective
from training.settings import LoraSettings
from training.train import stopping

_CHUNK = 256  # windows drawn, sorted and packed together
_REPORT = 10  # steps


class LoraRun:
    """A model with an adapter on it, its optimiser, and how far it is."""

    def __init__(self, model: Any, settings: LoraSettings, seed: int, path: Path) -> None:
        self.model, self.settings, self.seed, self.path = model, settings, seed, path
        self.device = next(model.parameters()).device
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
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
        """Takes up the checkpoint."""
        state = torch.load(self.path, weights_only=True, map_location=self.device)
        set_peft_model_state_dict(self.model, state["adapter"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.counts = state["counts"]

    def train(self, windows: Windows) -> bool:
        """Trains to the end, or until a signal asks to stop; then saves. Whether it is the end."""
        chunks = chunks_of(len(windows.queries))
        total = chunks * self.settings.epochs
        self.model.train()
        saved = time.monotonic()
        with stopping() as stopped:
            while self.counts["chunk"] < total and not stopped:
                steps = self._steps(windows, chunks)
                for group in steps[self.counts["done"] :]:
                    self._step(group, (self.counts["chunk"] + self.counts["done"] / len(steps)) / total)
                    self.counts["done"] += 1
                    if stopped:
                        break
                else:
                    self.counts["chunk"], self.counts["done"] = self.counts["chunk"] + 1, 0
                if time.monotonic() - saved > self.settings.checkpoint_minutes * 60:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return self.counts["chunk"] == total

    def _steps(self, windows: Windows, chunks: int) -> list[list[list[Example]]]:
        """The batches of each step of the chunk that is next."""
        chunk = self.counts["chunk"]
        epoch, part = divmod(chunk, chunks)
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(windows.queries))
        random = np.random.default_rng([self.seed, 1, chunk])
        drawn = [windows.draw(windows.queries[i], random) for i in order[part * _CHUNK : (part + 1) * _CHUNK]]
        batches = packed(drawn, self.settings.batch_tokens)
        return list(grouped([batches[i] for i in random.permutation(len(batches))], self.settings.accumulate))

    def _step(self, group: list[list[Example]], progress: float) -> None:
        """One step of the optimiser: the mean over the windows of a group of batches."""
        count = sum(map(len, group))
        sums: dict[str, float] = {}
        for batch in group:
            logits = last_logits(self.model, [example.prompt for example in batch], self.device)
            loss, parts = objective(logits, batch, self.settings.rank_weight)
            torch.autograd.backward(loss / count)
            sums = {name: sums.get(name, 0.0) + value for name, value in parts.items()}
        for option in self.optimizer.param_groups:
            option["lr"] = learning_rate(self.settings, self.counts["step"], progress)
        torch.nn.utils.clip_grad_norm_(self._trained, self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.counts["step"] += 1
        self.counts["windows"] += count
        if self.counts["step"] % _REPORT == 0:
            shown = " ".join(f"{name} {value / count:.3f}" for name, value in sums.items())
            print(f"step {self.counts['step']}  windows {self.counts['windows']}  {shown}  {progress:.0%}", flush=True)


def chunks_of(queries: int) -> int:
    """How many chunks an epoch has."""
    return math.ceil(queries / _CHUNK)


def learning_rate(settings: LoraSettings, step: int, progress: float) -> float:
    """Warm-up by steps, then half a cosine down to zero."""
    cosine = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return cosine * min(1.0, (step + 1) / settings.warmup_steps)
