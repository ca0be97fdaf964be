"""Fine-tunes a decoder that vLLM serves on judgements or clicks, with LoRA and FIRST's objective.

``--data`` is one set in BEIR layout with ``qrels/train.tsv``; a click is a judgement of grade 1. The service builds the
prompts from ``--profile``: the name of a listwise one that comes with the service, or a YAML file. ``--model`` is the
folder of the decoder with its ``tokenizer.json``. A tenth of the judged queries is held out and measured before and
after.

``--out`` becomes a folder with ``NAME.yaml`` and ``NAME/``, which holds the merged weights for vLLM. A run that was
stopped continues when the same command is given again.
"""

import argparse
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.errors import OnepassError
from service.ranking.profile import Profile
from training.collection import Lists, read_collection
from training.held_out import SHARE, Figures, compared, split
from training.lora.batches import last_logits
from training.lora.decoder import with_adapter, write_merged
from training.lora.examples import Windows
from training.lora.profiles import read_profile, renamed, settings_for, write_profile
from training.lora.recipe import Recipe
from training.lora.run import LoraRun


@dataclass(frozen=True)
class Task:
    """What is read, what is written, and on what it is computed."""

    model: Path
    profile: Profile
    data: Path
    out: Path
    name: str
    device: torch.device
    dtype: torch.dtype
    held_out: float = SHARE

    @property
    def work(self) -> Path:
        """The folder of the checkpoint; it is removed at the end."""
        return self.out / f"{self.name}.work"


def finetune(task: Task, recipe: Recipe) -> Figures | None:
    """Trains, merges and measures. ``None`` if a signal stopped the training.

    Raises:
        InvalidInput: the data or the model cannot be used.
        ProfileError: the profile cannot be used, or not with this tokenizer.
    """
    served = renamed(task.profile, task.name)
    train, held_out = split(task.data, read_collection(task.data), recipe.seed, task.held_out)
    windows = Windows(train, task.profile.model_copy(update={"folder": task.model.absolute()}), recipe)
    model = with_adapter(task.model, recipe, task.device, task.dtype)
    before = _reranked(model, windows, held_out.lists, task.device)
    run = LoraRun(model, recipe, task.work / "checkpoint.pt")
    if run.path.exists():
        run.resume()
    print(f"{len(windows.queries)} queries to train on, {len(held_out.lists)} held out", flush=True)
    if not run.train(windows):
        print("stopped: the same command continues the run", flush=True)
        return None
    figures = compared(held_out, before, _reranked(model, windows, held_out.lists, task.device))
    write_merged(model, task.model, task.out / task.name)
    figures.write(task.out / task.name / "finetuning.json")
    write_profile(served, task.out)
    shutil.rmtree(task.work)
    return figures


def _reranked(model: Any, windows: Windows, lists: Lists, device: torch.device) -> Lists:
    """The lists with their first window in the model's order, one prompt a query."""
    model.eval()
    found = {}
    for query, names in lists.items():
        shown, rest = names[: windows.size], names[windows.size :]
        prompt = windows.prompt(query, shown)
        with torch.inference_mode():
            scores = last_logits(model, [prompt], device)[0, list(prompt.label_ids)].cpu().numpy()
        found[query] = [shown[i] for i in np.argsort(-scores, kind="stable")] + rest
    return found


def _task(arguments: argparse.Namespace) -> Task:
    """The task, with the defaults that depend on others: bfloat16 on a GPU, float32 on a CPU."""
    profile = read_profile(arguments.profile)
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = getattr(torch, arguments.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    name = arguments.name or f"{profile.name}-lora"
    return Task(arguments.model, profile, arguments.data, arguments.out, name, device, dtype)


def main() -> None:
    """Fine-tunes, and prints how to serve the result."""
    parser = argparse.ArgumentParser(
        prog="python -m training.lora", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("model", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--name", help="of the profile and the folder that are written; PROFILE-lora by default")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--learning-rate", type=float, default=Recipe.learning_rate)
    parser.add_argument("--batch-tokens", type=int, default=Recipe.batch_tokens, help="of one forward pass")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"])
    parser.add_argument("--device", help="as torch calls it")
    arguments = parser.parse_args()
    given = {name: getattr(arguments, name) for name in ("epochs", "learning_rate", "batch_tokens")}
    try:
        task = _task(arguments)
        figures = finetune(task, replace(Recipe(), **given))
    except OnepassError as error:
        parser.error(str(error))
    if figures is not None:
        print(f"{figures} (one prompt a query, the first window of its list)")
        print(f"to serve it: {settings_for(task.out)} onepass profiles vllm-args {task.name}, and see docs/vllm.md")


if __name__ == "__main__":
    main()
