r"""Makes the builtin static embedder.

    python -m training.static_embedder --teacher all-MiniLM-L6-v2/ --data beir-sets/ --work cache/ \
        --out service/models/static-embedder/

``--data`` is a folder of folders in BEIR layout, ``--work`` keeps the teacher's vectors between runs.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from training.static_embedder.fit import Fitting, Lesson, Recipe
from training.static_embedder.student import Student, piece_rows
from training.static_embedder.teacher import Rows, Teacher
from training.static_embedder.texts import TextSet, read_text_set, standard_library
from training.static_embedder.vocabulary import (
    kept_pieces,
    piece_vectors,
    projection,
    sif_weights,
    whole_words,
    word_counts,
)

SETS = ("squad-sentences", "medquad", "bioasq-snippets", "clapnq-answers", "scifact", "cosqa", "pubmedqa")
DIMENSION = 256
VOCABULARY = 32_800  # rows that fit 9 MB with their scales and spellings
MAX_PIECES = 160  # of a passage while learning: about what the teacher read of it


def main() -> None:
    """Read, encode, start, fit, save."""
    arguments = _arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    teacher = Teacher(arguments.teacher)
    sets = [*(read_text_set(arguments.data / name) for name in SETS), standard_library()]
    cache = _Cache(arguments.work, teacher)
    passages = [cache.vectors(f"{one.name}.passages", one.passages) for one in sets]
    queries = [cache.vectors(f"{one.name}.queries", one.queries) for one in sets]

    down = projection(np.concatenate(passages), DIMENSION)
    counts = word_counts([[*one.passages, *one.queries] for one in sets])
    pieces = kept_pieces(teacher.vocabulary)
    words = whole_words(pieces, counts, VOCABULARY - len(pieces))
    start = piece_vectors(teacher, pieces, words, down)
    pieces = [*pieces, *words]
    student = Student(start, sif_weights(pieces, counts))

    lessons = [
        _lesson(one, pieces, _unit(p @ down), _unit(q @ down))
        for one, p, q in zip(sets, passages, queries, strict=True)
    ]
    recipe = Recipe(steps=arguments.steps)
    Fitting(student, lessons, recipe).run(_printer(recipe.steps))
    student.save(pieces, arguments.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.static_embedder",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--teacher", type=Path, required=True, help="folder of a BERT-like sentence encoder")
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {', '.join(SETS)} in BEIR layout")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the teacher's vectors")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the embedder to")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="steps of fitting")
    return parser.parse_args()


class _Cache:
    """The teacher's vectors on disk, as float16."""

    def __init__(self, folder: Path, teacher: Teacher) -> None:
        self._folder = folder
        self._teacher = teacher
        folder.mkdir(parents=True, exist_ok=True)

    def vectors(self, name: str, texts: Sequence[str]) -> Rows:
        path = self._folder / f"{name}.npy"
        if not path.exists():
            print(f"encoding {len(texts)} texts: {name}", flush=True)
            np.save(path, self._teacher.encode_texts(texts).astype(np.float16))
        vectors = np.load(path).astype(np.float32)
        if len(vectors) != len(texts):
            raise SystemExit(f"{path} was made from other texts: remove it")
        return vectors


def _lesson(one: TextSet, pieces: Sequence[str], passage_targets: Rows, query_targets: Rows) -> Lesson:
    return Lesson(
        name=one.name,
        passages=[rows[:MAX_PIECES] for rows in piece_rows(pieces, one.passages)],
        queries=piece_rows(pieces, one.queries),
        pairs=np.array(one.pairs, dtype=np.int64).reshape(-1, 2),
        passage_targets=passage_targets,
        query_targets=query_targets,
    )


def _unit(vectors: Rows) -> Rows:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _printer(steps: int) -> Callable[[int, float], None]:
    losses: list[float] = []

    def report(step: int, loss: float) -> None:
        losses.append(loss)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}/{steps}: loss {np.mean(losses[-100:]):.3f}", flush=True)

    return report


if __name__ == "__main__":
    main()
