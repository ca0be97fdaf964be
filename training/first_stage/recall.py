r"""recall@100 of the first stage on judged sets, with one static embedder and with another.

    python -m training.first_stage.recall --data beir-sets/ --sets scifact demo --after embedder/

``demo`` is the documentation of the standard library with its judged questions. Judgements are those of ``test``, or
all official ones where a set has given lists as those of TREC Deep Learning have, which count from grade 2. What is
measured is kept in ``--kept``, so that a run that was stopped goes on where it was.
"""

import argparse
import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from service.corpus.beir import BeirFolder
from service.corpus.source import Source
from service.corpus.stdlib_docs import StdlibDocs
from service.deadline import Deadline
from service.demo import JUDGED
from service.domain import RetrievalMode
from service.evaluation.significance import paired_bootstrap
from service.retrieval.embedding.builtin import DEFAULT_FOLDER, StaticEmbedder
from service.retrieval.first_stage import FirstStage
from training.first_stage.indexed import indexed

DEPTH = 100
DEMO = "demo"
MODES = (RetrievalMode.DENSE, RetrievalMode.HYBRID)
_SAMPLE_SEED = 7


@dataclass(frozen=True)
class Question:
    """A query and the ids of the documents that answer it, at least one."""

    query: str
    relevant: set[str]


@dataclass(frozen=True)
class Cell:
    """recall@100 of each question of a set, in one order for all cells of the set."""

    set: str
    embedder: str
    mode: str
    recall: list[float]


def main() -> None:
    """Measure what is not kept yet, then print the table."""
    options = _options()
    embedders = [StaticEmbedder(folder) for folder in (options.before, options.after)]
    for name in options.sets:
        for embedder in embedders:
            _measure(options, name, embedder)
    print(table(_kept(options.kept), options.sets, *(embedder.id for embedder in embedders)))


def table(cells: Sequence[Cell], sets: Sequence[str], before: str, after: str) -> str:
    """Means of each set in Markdown; a star where the difference is significant at .05 (paired bootstrap)."""
    found = {(cell.set, cell.embedder, cell.mode): cell.recall for cell in cells}
    rows = [["set", "queries", *(f"{mode}, {when}" for mode in MODES for when in ("before", "after"))]]
    for name in sets:
        pairs = [(found[name, before, mode], found[name, after, mode]) for mode in MODES]
        rows.append([name, str(len(pairs[0][0])), *(text for pair in pairs for text in _shown(*pair))])
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


async def recalls(
    first_stage: FirstStage, questions: Sequence[Question], mode: RetrievalMode, depth: int = DEPTH
) -> list[float]:
    """The share of what is relevant that stands among the first ``depth``, for each question."""
    shares = []
    for question in questions:
        found = await first_stage.retrieve(question.query, depth, mode, Deadline.never())
        ids = {candidate.document.id for candidate in found.candidates}
        shares.append(len(question.relevant & ids) / len(question.relevant))
    return shares


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.first_stage.recall",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of folders in the BEIR layout")
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--before", type=Path, default=DEFAULT_FOLDER, help="an embedder; else the one that ships")
    parser.add_argument("--after", type=Path, required=True, help="another embedder")
    parser.add_argument("--limit", type=int, default=300, help="queries of each set, drawn with a fixed seed")
    parser.add_argument("--kept", type=Path, default=Path("recall.jsonl"))
    return parser.parse_args()


def _measure(options: argparse.Namespace, name: str, embedder: StaticEmbedder) -> None:
    """Keep the recall of one set with one embedder in every mode, unless it is kept already."""
    if (name, embedder.id) in {(cell.set, cell.embedder) for cell in _kept(options.kept)}:
        return
    folder = BeirFolder(JUDGED if name == DEMO else options.data / name)
    corpus = StdlibDocs() if name == DEMO else folder
    cells = asyncio.run(_cells(name, corpus, _questions(folder, options.limit), embedder))
    with options.kept.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(cell)) + "\n" for cell in cells)


async def _cells(name: str, corpus: Source, questions: Sequence[Question], embedder: StaticEmbedder) -> list[Cell]:
    async with indexed(corpus, embedder) as first_stage:
        return [Cell(name, embedder.id, mode, await recalls(first_stage, questions, mode)) for mode in MODES]


def _questions(folder: BeirFolder, limit: int) -> list[Question]:
    official = folder.candidates_file() is not None
    qrels, least = folder.qrels("test_official_full" if official else "test"), 2 if official else 1
    relevant = {name: {id_ for id_, grade in grades.items() if grade >= least} for name, grades in qrels.items()}
    queries = folder.queries()
    names = sorted(name for name in queries if relevant.get(name))
    drawn = random.Random(_SAMPLE_SEED).sample(names, min(limit, len(names)))
    return [Question(queries[name], relevant[name]) for name in drawn]


def _kept(path: Path) -> list[Cell]:
    if not path.exists():
        return []
    return [Cell(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _shown(before: Sequence[float], after: Sequence[float]) -> tuple[str, str]:
    star = "*" if paired_bootstrap(after, before).p < 0.05 else ""
    return f"{fmean(before):.3f}", f"{fmean(after):.3f}{star}"


if __name__ == "__main__":
    main()
