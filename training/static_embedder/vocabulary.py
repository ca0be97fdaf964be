"""Which wordpieces get a vector, and the vectors and weights that learning starts from.

The pieces are the teacher's, less what an English retriever never meets, plus whole words of the corpora. The vectors
follow Model2Vec: every piece through the teacher, then fewer dimensions.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from service.retrieval.embedding.wordpiece import WordPieces
from training.static_embedder.teacher import Rows, Teacher

_KEPT = re.compile(r"(##)?[a-z0-9\u00df-\u024f\u0370-\u03ff\u0400-\u04ff]+")
_WHOLE_WORD = re.compile(r"[a-z][a-z0-9]{2,23}")
_WORD = re.compile(r"[^\W_]+")
_SIF_SMOOTHING = 1e-3
_ZIPF_SHARE = 0.5


def kept_pieces(teacher_vocabulary: Sequence[str]) -> list[str]:
    """The teacher's pieces made of Latin, Greek or Cyrillic letters and digits: punctuation is never looked up."""
    return [piece for piece in teacher_vocabulary if _KEPT.fullmatch(piece)]


def word_counts(corpora: Iterable[Sequence[str]]) -> Counter[str]:
    """Lower-case words by frequency; every corpus counts the same, whatever its size (in words per million)."""
    shares: Counter[str] = Counter()
    for texts in corpora:
        counts = Counter(word.lower() for text in texts for word in _WORD.findall(text))
        total = counts.total()
        for word, count in counts.items():
            if count > 2:
                shares[word] += count / total * 1e6
    return shares


def whole_words(pieces: Sequence[str], counts: Counter[str], how_many: int) -> list[str]:
    """The most frequent corpus words that the pieces would cut apart."""
    known = set(pieces)
    cut = (word for word, _ in counts.most_common() if word not in known and _WHOLE_WORD.fullmatch(word))
    return [word for word, _ in zip(cut, range(how_many), strict=False)]


def sif_weights(pieces: Sequence[str], counts: Counter[str]) -> Rows:
    """Smooth inverse frequency a / (a + p) of each piece (Arora et al., 2017), shape [pieces].

    ``p`` is half what the corpora say and half Zipf's law over the vocabulary's order, which follows the frequencies of
    the teacher's far larger corpus.
    """
    cutter = WordPieces(pieces, max_characters=100)
    seen = np.zeros(len(pieces))
    for word, count in counts.items():
        np.add.at(seen, cutter.rows(word), count)
    zipf = 1 / (np.arange(len(pieces)) + 10)
    frequency = (1 - _ZIPF_SHARE) * seen / seen.sum() + _ZIPF_SHARE * zipf / zipf.sum()
    return (_SIF_SMOOTHING / (_SIF_SMOOTHING + frequency)).astype(np.float32)


def projection(sentences: Rows, dimension: int) -> Rows:
    """The directions that keep most of the sentences' inner products, shape [teacher dimension, dimension].

    Principal components without centring: subtracting a mean would change the cosines that are to be kept.
    """
    _, directions = np.linalg.eigh(sentences.T.astype(np.float64) @ sentences)
    return directions[:, ::-1][:, :dimension].astype(np.float32)


def piece_vectors(teacher: Teacher, pieces: Sequence[str], whole: Sequence[str], down: Rows) -> Rows:
    """Projected vectors of the teacher's pieces and of added whole words, each less what all have in common."""
    vectors = np.concatenate([teacher.encode_pieces(pieces), teacher.encode_texts(whole)]) @ down
    return (vectors - vectors.mean(axis=0)).astype(np.float32)
