"""Passages that nobody wrote: lists of questions, lists of terms, sentences of several texts, words in other company.

The vectors of passages come near to the teacher's on the kinds of text that a run saw, and stay away from it on others
however common their words are: what pages of the web are full of, questions in a row or the same words again and again,
is rare in collections for retrieval. The teacher has a vector of any text, so that such texts can be made.

They are made of the prepared collections; the teacher sees as much of them as the model will, and says which of them
answer short texts out of them. Run it after ``training.data``.

usage: python -m training.composed --data DIR --encoder DIR --tokenizer DIR --out DIR
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from training.data import chunk, save_collection
from training.encoder import Encoder
from training.settings import Settings
from training.spans import Speller, drawn_passages, run, whole_words
from training.unlabelled import asked_of, questions_of
from training.windows import LONGEST_PASSAGE

COMPOSED = "composed"
_ALIKE = 0.6  # of the pieces of a text are about the first one's subject
_COMMON = 400  # texts: a word of more of them says nothing of a subject
_LEADS = ("", "", "", "related:", "contents", "see also", "1.", "q:", "faq", "more:", "top 10", "overview")


class Related:
    """Texts by the words they hold: another one on the same subject."""

    def __init__(self, texts: Sequence[str], random: np.random.Generator) -> None:
        self._texts, self._random = texts, random
        self._holding: dict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            for word in set(text.lower().split()):
                if len(word) > 3:
                    self._holding[word].append(number)

    def any(self) -> str:
        """One of them."""
        return self._texts[int(self._random.integers(len(self._texts)))]

    def of(self, subject: str) -> str:
        """One that shares a word with ``subject`` that few share; any one where there is none."""
        found = [self._holding.get(word, []) for word in set(subject.lower().split())]
        found = [numbers for numbers in found if 1 < len(numbers) <= _COMMON]
        if not found or self._random.random() > _ALIKE:
            return self.any()
        numbers = found[int(self._random.integers(len(found)))]
        return self._texts[numbers[int(self._random.integers(len(numbers)))]]


class Composer:
    """Makes passages of passages, questions and single words."""

    def __init__(
        self, passages: Sequence[str], questions: Sequence[str], words: Sequence[str], random: np.random.Generator
    ) -> None:
        self._passages, self._questions = Related(passages, random), Related(questions, random)
        self._words, self._random = words, random
        self._kinds: dict[Callable[[], str], float] = {
            self._asked: 0.3,
            self._joined: 0.25,
            self._listed: 0.15,
            self._exchanged: 0.15,
            self._repeated: 0.15,
        }

    def text(self) -> str:
        """One passage of 5 to about 120 words."""
        kinds, shares = list(self._kinds), list(self._kinds.values())
        return kinds[self._random.choice(len(kinds), p=shares)]()

    def _asked(self) -> str:
        """Questions in a row, most on one subject, now and then numbered or with some words of an answer."""
        first = self._questions.any()
        rows = [first] + [self._questions.of(first) for _ in range(self._count(2, 11))]
        numbered, answered = self._random.random() < 0.3, self._random.random() < 0.3
        if answered:
            place = self._count(1, len(rows) + 1)
            rows[place:place] = [self._stretch(self._passages.of(first), 8, 40)]
        between = str(self._random.choice([" ", "; ", ". ", "? ", " | "]))
        rows = [
            f"{number} {row}" if numbered else row for number, row in enumerate((row.rstrip("? ") for row in rows), 1)
        ]
        return f"{self._random.choice(_LEADS)} {between.join(rows)}".strip()

    def _joined(self) -> str:
        """Stretches of two to five passages."""
        first = self._passages.any()
        parts = [first] + [self._passages.of(first) for _ in range(self._count(1, 5))]
        joined = [self._stretch(part, 8, 45) for part in parts]
        if self._random.random() < 0.3:
            joined.insert(0, self._questions.of(first))
        return str(self._random.choice([" ", ". ", " ... ", " - "])).join(joined)

    def _listed(self) -> str:
        """Terms of one to four words, many with the same word in them."""
        source = self._passages.any()
        subject = self._stretch(source, 1, 3)
        terms = []
        for _ in range(self._count(4, 22)):
            term = self._stretch(source if self._random.random() < 0.5 else self._passages.of(subject), 1, 4)
            around = self._random.random()
            terms.append(f"{subject} {term}" if around < 0.3 else f"{term} {subject}" if around < 0.5 else term)
        return str(self._random.choice([", ", " ", "; ", " · ", " / "])).join(terms)

    def _exchanged(self) -> str:
        """A passage of which a part of the words are others."""
        words, share = self._stretch(self._passages.any(), 15, 80).split(), self._random.uniform(0.05, 0.4)
        other = self._passages.any().split() if self._random.random() < 0.5 else self._words
        changed = self._random.random(len(words)) < share
        return " ".join(
            str(other[self._count(0, len(other))]) if change else word
            for word, change in zip(words, changed, strict=True)
        )

    def _repeated(self) -> str:
        """One phrase again and again, each time with another word or two, and with some of a passage behind it."""
        source = self._questions.any() if self._random.random() < 0.5 else self._passages.any()
        phrase = self._stretch(source, 3, 12).split()
        rows = []
        for _ in range(self._count(2, 7)):
            row = list(phrase)
            for _ in range(self._count(0, 3)):
                row[self._count(0, len(row))] = str(self._words[self._count(0, len(self._words))])
            rows.append(" ".join(row))
        if self._random.random() < 0.5:
            rows.append(self._stretch(self._passages.of(" ".join(phrase)), 8, 40))
        return str(self._random.choice([" ", ". ", "; ", ", "])).join(rows)

    def _stretch(self, text: str, fewest: int, most: int) -> str:
        """Neighbouring words of a text, from its beginning or from anywhere."""
        words, count = text.split(), self._count(fewest, most + 1)
        start = 0 if self._random.random() < 0.3 else self._count(0, max(1, len(words) - count + 1))
        return " ".join(words[start : start + count])

    def _count(self, low: int, high: int) -> int:
        return int(self._random.integers(low, high))


def prepare(data: Path, folder: Path, tokenizer: Tokenizer, encoder: Encoder, settings: Settings) -> None:
    """Writes the collection next to the others in ``folder``."""
    random = np.random.default_rng(settings.seed)
    names = [name for name in settings.data.weights if name != COMPOSED]
    drawn, _ = drawn_passages(folder, names, settings.data.span_passages, random)
    decoded = (tokenizer.decode([int(i) for i in piece]) for piece in drawn)
    sources = [text for text in decoded if text]  # of unknown pieces nothing is left
    questions = questions_of(data, [name for name in names if (data / name).is_dir()])
    words = whole_words(encoder.tokenizer)
    composer = Composer(sources, questions, words, random)
    read = replace(settings.data, chunk_tokens=LONGEST_PASSAGE)
    made = [composer.text() for _ in range(settings.data.composed)]
    pieces = [piece for text in made for piece in chunk(text, tokenizer, read)[:1]]
    texts, ids = [text for text, _ in pieces], [np.array(found, np.int32) for _, found in pieces]
    speller = Speller(texts, questions, words, random)
    asked = sorted({speller.text() for _ in range(settings.data.composed)})
    vectors = encoder.embed(texts).numpy()
    save_collection(
        asked_of(texts, ids, vectors, asked, tokenizer, encoder, settings.data.mined), folder / f"{COMPOSED}.npz"
    )
    print(f"{COMPOSED}: {len(ids)} passages, {len(asked)} queries")


if __name__ == "__main__":
    run(__doc__, prepare)
