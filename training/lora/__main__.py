"""Fine-tunes a decoder that vLLM serves on judgements or clicks of one's own, with LoRA and FIRST's objective.

``--data`` is one set in BEIR layout with ``qrels/train.tsv``; a click is a judgement of grade 1. Prompts are those that
the service builds from ``--profile``, one that comes with the service or a YAML file, of the reading listwise.
``--model`` is the decoder's folder with its ``tokenizer.json``. A tenth of the judged queries is held out and measured
before and after.

``--out`` becomes a folder with ``NAME.yaml`` and ``NAME/``: merged weights, ready for vLLM. A run that is stopped goes
on when the same command is given again.

usage: python -m training.lora --model DIR --profile NAME|FILE.yaml --data DIR --out DIR [--name NAME]
    [--epochs N] [--learning-rate X] [--dtype bfloat16|float32] [--device cuda|cpu]
"""

import argparse
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.errors import NotFound, ProfileError
from service.ranking import profile as profiles
from service.ranking.profile import Profile
from training.data import read_source
from training.errors import UnusableInput
from training.evaluate import Lists
from training.held_out import Figures, Order, compared, split
from training.lora.batches import last_logits
from training.lora.decoder import with_adapter, write_merged
from training.lora.examples import Windows
from training.lora.run import LoraRun
from training.profiles import checked, in_settings, renamed, write_profile
from training.settings import LoraSettings, Settings, load_settings


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

    @property
    def work(self) -> Path:
        """What only a run that goes on needs; removed at the end."""
        return self.out / f"{self.name}.work"


def finetune(task: Task, settings: Settings) -> Figures | None:
    """Trains, merges and measures. ``None`` if a signal stopped the training.

    Raises:
        UnusableInput: of the data, the model or the profile.
        ProfileError: the tokenizer does not go with the profile.
    """
    served = renamed(task.profile, task.name)
    checked(served)
    train, lists = split(read_source(task.data), settings.held_out, settings.seed)
    asked = task.profile.model_copy(update={"folder": task.model.absolute()})
    windows = Windows(train, asked, settings.lora.mined, settings.lora.listed)
    model = with_adapter(task.model, settings.lora, settings.seed, task.device, task.dtype)
    before = _reranked(model, windows, lists, task.device)
    run = LoraRun(model, settings.lora, settings.seed, task.work / "checkpoint.pt")
    if run.path.exists():
        run.resume()
    print(f"{len(windows.queries)} queries to train on, {len(lists.queries)} held out", flush=True)
    if not run.train(windows):
        print("stopped: the same command goes on", flush=True)
        return None
    figures = compared(lists, before, _reranked(model, windows, lists, task.device))
    write_merged(model, task.model, task.out / task.name)
    figures.write(task.out / task.name / "finetuning.json")
    write_profile(served, task.out)
    shutil.rmtree(task.work)
    return figures


def _reranked(model: Any, windows: Windows, lists: Lists, device: torch.device) -> Order:
    """The lists with their first window in the model's order, one prompt a query."""
    model.eval()
    found = {}
    for query, names in lists.order.items():
        shown, rest = names[: windows.size], names[windows.size :]
        prompt = windows.prompt(query, shown)
        with torch.inference_mode():
            scores = last_logits(model, [prompt], device)[0, list(prompt.label_ids)].cpu().numpy()
        found[query] = [shown[i] for i in np.argsort(-scores, kind="stable")] + rest
    return found


def _profile(name: str) -> Profile:
    """A profile that comes with the service, or that of a YAML file."""
    return profiles.load(Path(name)) if name.endswith((".yaml", ".yml")) else profiles.find(name)


def _options(arguments: argparse.Namespace, configured: LoraSettings) -> LoraSettings:
    given = {"epochs": arguments.epochs, "learning_rate": arguments.learning_rate}
    return replace(configured, **{name: value for name, value in given.items() if value is not None})


def _task(arguments: argparse.Namespace) -> Task:
    """The arguments with what they leave open: a GPU computes in bfloat16, a CPU in float32."""
    profile = _profile(arguments.profile)
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = getattr(torch, arguments.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    name = arguments.name or f"{profile.name}-lora"
    return Task(arguments.model, profile, arguments.data, arguments.out, name, device, dtype)


def main() -> None:
    """Fine-tunes, and tells how the result is served."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--profile", required=True, help="name of one that comes with the service, or a YAML file")
    parser.add_argument("--name", help="of the profile and the folder that are written; PROFILE-lora by default")
    parser.add_argument("--epochs", type=int, help="instead of the configured number")
    parser.add_argument("--learning-rate", type=float, help="instead of the configured one")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"])
    parser.add_argument("--device", help="as torch calls it")
    arguments = parser.parse_args()
    settings = load_settings()
    settings = replace(settings, lora=_options(arguments, settings.lora))
    try:
        task = _task(arguments)
        figures = finetune(task, settings)
    except (UnusableInput, ProfileError, NotFound) as error:
        parser.error(str(error))
    if figures is not None:
        print(f"{figures} (one prompt a query, its first window)")
        print(f"how to serve it: {in_settings(task.out)} onepass profiles vllm-args {task.name}, and see docs/vllm.md")


if __name__ == "__main__":
    main()
