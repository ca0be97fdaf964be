"""Fine-tunes our own small model on judgements or clicks of one's own: BEIR layout in, weights and profile out.

``--data`` is the folder of one set: ``corpus.jsonl`` and ``queries.jsonl``, gzipped or not, and ``qrels/train.tsv``. A
click is a judgement of grade 1. The weights that training starts from are an exported model's folder, by default the
one that comes with the service, or a training checkpoint. Nothing but the set itself is shown; a small learning rate,
the teacher's vectors and few minutes keep what the model knew. A tenth of the judged queries is held out and measured
before and after.

``--out`` becomes a folder with ``NAME.yaml`` and ``NAME/``, for both engines. A run that is stopped goes on when the
same command is given again.

usage: python -m training.finetune --data DIR --encoder DIR --out DIR --name NAME [--start FOLDER|checkpoint.pt]
    [--tokenizer DIR] [--minutes N] [--learning-rate X]
"""

import argparse
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from service.ranking.profile import MODELS
from training.data import Source, prepare, read_source, save_collection
from training.encoder import Encoder
from training.errors import UnusableInput
from training.evaluate import Lists, Reranker
from training.export import export
from training.held_out import Figures, Order, compared, split
from training.imported import read_model
from training.pointer import pointed
from training.profiles import checked, in_settings, slotted, write_profile
from training.settings import Settings, TrainSettings, load_settings
from training.slots import LONGEST
from training.strange import STRANGE, save_strange
from training.train import trained
from training.windows import LONGEST_PASSAGE, SERVED_LABELS

_THREADS = 2
_OWN = "own"  # the collection's name among the prepared ones
GRAPH = "model.int8.onnx"


@dataclass(frozen=True)
class Task:
    """What is read and what is written."""

    data: Path
    encoder: Path
    start: Path
    tokenizer: Path
    out: Path
    name: str

    @property
    def model(self) -> Path:
        """The folder of the weights."""
        return self.out / self.name

    @property
    def work(self) -> Path:
        """What only a run that goes on needs; removed at the end."""
        return self.out / f"{self.name}.work"

    @property
    def checkpoint(self) -> Path:
        """The state of the run."""
        return self.work / "checkpoint.pt"


def finetune(task: Task, settings: Settings) -> Figures | None:
    """Trains, exports and measures. ``None`` if a signal stopped the training.

    Raises:
        UnusableInput: of the data, the weights or the name.
    """
    profile = slotted(task.name)
    checked(profile)
    _check_start(task)
    train, lists = split(read_source(task.data), settings.held_out, settings.seed)
    own = replace(settings, data=replace(settings.data, weights={_OWN: 1.0}, dev_queries=0), train=settings.finetune)
    _prepare(task, train, own)
    print(f"{len(lists.queries)} of {len(lists.queries) + len(train.relevant)} judged queries held out", flush=True)
    run = trained(task.start, task.work, task.checkpoint, own)
    if run.seconds < own.train.minutes * 60:
        print("stopped: the same command goes on", flush=True)
        return None
    figures = compared(lists, reranked(_model_before(task, own), lists), reranked(_write_model(task, own), lists))
    figures.write(task.model / "finetuning.json")
    write_profile(profile, task.out)
    shutil.rmtree(task.work)
    return figures


def _check_start(task: Task) -> None:
    if task.start.is_dir():
        read_model(task.start)
        if not (task.start / GRAPH).exists():
            raise UnusableInput(f"{task.start}: without {GRAPH} there is nothing to compare with")
    elif task.start.suffix != ".pt" or not task.start.exists():
        raise UnusableInput(f"{task.start}: there is neither a model's folder nor a checkpoint")
    if not (task.tokenizer / "tokenizer.json").exists():
        raise UnusableInput(f"{task.tokenizer}: there is no tokenizer.json")


def _prepare(task: Task, source: Source, settings: Settings) -> None:
    """Writes the collection as training reads it."""
    begun = time.monotonic()
    tokenizer = Tokenizer.from_file(str(task.tokenizer / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    encoder = Encoder(task.encoder)
    task.work.mkdir(parents=True, exist_ok=True)
    save_strange(tokenizer, encoder, settings.data.chunk_tokens, task.work / STRANGE)
    collection = prepare(source, tokenizer, encoder, settings.data)
    save_collection(collection, task.work / f"{_OWN}.npz")
    print(
        f"{len(source.corpus)} documents, {len(collection.passages)} passages, {len(collection.queries)} queries,"
        f" prepared in {time.monotonic() - begun:.0f} s",
        flush=True,
    )


def _model_before(task: Task, settings: Settings) -> Path:
    """The folder of the model as it was; that of a checkpoint has to be made first."""
    if task.start.is_dir():
        return task.start
    export(pointed(task.start, task.work, settings), task.tokenizer, task.work / "before", LONGEST)
    return task.work / "before"


def _write_model(task: Task, settings: Settings) -> Path:
    export(pointed(task.checkpoint, task.work, settings), task.tokenizer, task.model, LONGEST)
    return task.model


def reranked(model: Path, lists: Lists) -> Order:
    """The lists in the order of an exported model, through the graph that serves."""
    reranker = Reranker(model / GRAPH, model, _THREADS, SERVED_LABELS, LONGEST_PASSAGE)
    found = {}
    for query, names in lists.order.items():
        order = reranker.rerank(lists.queries[query], [lists.texts[name] for name in names])
        found[query] = [names[i] for i in order]
    return found


def _options(arguments: argparse.Namespace, configured: TrainSettings) -> TrainSettings:
    given = {"minutes": arguments.minutes, "learning_rate": arguments.learning_rate}
    return replace(configured, **{name: value for name, value in given.items() if value is not None})


def main() -> None:
    """Fine-tunes, and tells how the result is served."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "encoder", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--name", required=True, help="of the profile and of the model's folder")
    parser.add_argument("--start", type=Path, default=MODELS / "onepass-mini", help="model folder or checkpoint")
    parser.add_argument("--tokenizer", type=Path, help="folder; needed if the start is a checkpoint")
    for name in ("minutes", "learning-rate"):
        parser.add_argument(f"--{name}", type=float, help="instead of the configured value")
    arguments = parser.parse_args()
    settings = load_settings()
    settings = replace(settings, finetune=_options(arguments, settings.finetune))
    tokenizer = arguments.tokenizer or arguments.start
    task = Task(arguments.data, arguments.encoder, arguments.start, tokenizer, arguments.out, arguments.name)
    torch.manual_seed(settings.seed)
    try:
        figures = finetune(task, settings)
    except UnusableInput as error:
        parser.error(str(error))
    if figures is not None:
        print(figures)
        print(f"try it: {in_settings(task.out)} onepass profiles check {task.name}")


if __name__ == "__main__":
    main()
