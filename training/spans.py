"""Short texts that nobody asked, as queries: where the teacher puts them is what a query's vector is learnt from.

A window of twenty passages has one query, so a run sees few queries, and the same ones again and again; their vectors
came nearer to the teacher's on queries of the train split than on others. Any short text has a teacher's vector:
stretches of passages, words in random company, questions with words left out. Words are drawn from the teacher's whole
vocabulary, as the trimmed one spells many of them in pieces that have to be learnt together.

Passages are a part of those of the prepared collections, and the teacher says which of them answer. Run it after
``training.data``.

usage: python -m training.spans --data DIR --encoder DIR --tokenizer DIR --out DIR
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.data import load_collection, save_collection
from training.encoder import Encoder
from training.settings import Settings, load_settings
from training.unlabelled import asked_of, questions_of

SPANS = "spans"
_OPENINGS = (
    *("what is", "what are", "what does", "who is", "who was", "when was", "when did", "where is", "why is", "why do"),
    *("how to", "how do", "how does", "how long", "how much", "how many", "which", "is", "are", "can you", "does"),
    *("define", "definition of", "meaning of", "types of", "causes of", "difference between", "average", "cost of"),
)
_OPENED = 0.3  # of the texts that are no questions yet


class Speller:
    """Makes such texts of passages, questions and single words."""

    def __init__(
        self, passages: list[str], questions: list[str], words: list[str], random: np.random.Generator
    ) -> None:
        self._passages, self._questions, self._words, self._random = passages, questions, words, random

    def text(self) -> str:
        """One text of 1 to about 15 words."""
        kind = self._random.random()
        if kind < 0.25:
            return self._thinned()
        made = self._stretch() if kind < 0.75 else self._company()
        if self._random.random() < _OPENED:
            return f"{self._random.choice(_OPENINGS)} {made}"
        return made

    def _stretch(self) -> str:
        """2 to 12 neighbouring words of a passage, now and then with a word that is not of it."""
        words = self._one_of(self._passages).split()
        count = int(self._random.integers(2, 13))
        start = int(self._random.integers(max(1, len(words) - count + 1)))
        found = words[start : start + count]
        if self._random.random() < 0.2:
            found.insert(int(self._random.integers(len(found) + 1)), self._one_of(self._words))
        return " ".join(found)

    def _company(self) -> str:
        """1 to 4 words of the vocabulary."""
        return " ".join(self._one_of(self._words) for _ in range(int(self._random.integers(1, 5))))

    def _thinned(self) -> str:
        """A question without a part of its words, and sometimes with one exchanged."""
        words = self._one_of(self._questions).split()
        kept = [word for word in words if self._random.random() < 0.75] or words
        if self._random.random() < 0.3:
            kept[int(self._random.integers(len(kept)))] = self._one_of(self._words)
        return " ".join(kept)

    def _one_of(self, texts: list[str]) -> str:
        return texts[int(self._random.integers(len(texts)))]


def whole_words(tokenizer: Tokenizer) -> list[str]:
    """Words that it knows without cutting them."""
    return sorted(word for word in tokenizer.get_vocab() if word.isalpha() and word.isascii() and len(word) > 2)


def drawn_passages(
    folder: Path, names: list[str], each: int, random: np.random.Generator
) -> tuple[list[NDArray[np.int32]], NDArray[np.float16]]:
    """Ids and the teacher's vectors of at most ``each`` passages of every prepared collection."""
    ids: list[NDArray[np.int32]] = []
    vectors: list[NDArray[np.float16]] = []
    for name in names:
        if name == SPANS or not (folder / f"{name}.npz").exists():
            continue
        collection = load_collection(folder / f"{name}.npz")
        picks = random.permutation(len(collection.passages))[:each]
        ids += [collection.passages[i] for i in picks]
        vectors.append(collection.passage_vectors[picks])
    return ids, np.concatenate(vectors)


def prepare(data: Path, folder: Path, tokenizer: Tokenizer, encoder: Encoder, settings: Settings) -> None:
    """Writes the collection next to the others in ``folder``."""
    random = np.random.default_rng(settings.seed)
    names = [*settings.data.weights]
    ids, vectors = drawn_passages(folder, names, settings.data.span_passages, random)
    passages = [tokenizer.decode([int(i) for i in piece]) for piece in ids]
    asked_sets = [name for name in names if (data / name).is_dir()]  # not those that were made of another set
    speller = Speller(passages, questions_of(data, asked_sets), whole_words(encoder.tokenizer), random)
    asked = sorted({speller.text() for _ in range(settings.data.spans)})
    collection = asked_of(passages, ids, vectors, asked, tokenizer, encoder, settings.data.mined)
    save_collection(collection, folder / f"{SPANS}.npz")
    print(f"{SPANS}: {len(ids)} passages, {len(asked)} queries")


def run(description: str | None, make: Callable[[Path, Path, Tokenizer, Encoder, Settings], None]) -> None:
    """The command line of what makes a collection of prepared ones: reads the arguments and calls ``make``."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("data", "encoder", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    make(arguments.data, arguments.out, tokenizer, Encoder(arguments.encoder), load_settings())


if __name__ == "__main__":
    run(__doc__, prepare)
