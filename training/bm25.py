"""BM25 over one collection as a sparse matrix product (Robertson and Zaragoza 2009; k1 = 0.9, b = 0.4)."""

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

_WORD = re.compile(r"[a-z]+|[0-9]+")
_K1, _B = 0.9, 0.4


def terms(text: str) -> list[str]:
    """Words with the commonest English endings cut off; identifiers fall apart at case and underscore."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower()
    return [re.sub(r"(?<=\w{3})(?:ing|ed|es|s)$", "", word) for word in _WORD.findall(spaced)]


class BM25:
    """Scores of queries against the texts it was made from."""

    def __init__(self, texts: list[str]) -> None:
        self._vocabulary: dict[str, int] = {}
        counts = [Counter(self._vocabulary.setdefault(t, len(self._vocabulary)) for t in terms(text)) for text in texts]
        lengths = np.array([sum(c.values()) for c in counts], dtype=np.float32)
        rows = np.repeat(np.arange(len(texts)), [len(c) for c in counts])
        columns = np.fromiter((t for c in counts for t in c), dtype=np.int64)
        frequency = np.fromiter((n for c in counts for n in c.values()), dtype=np.float32)
        containing = np.bincount(columns, minlength=len(self._vocabulary))
        idf = np.log(1 + (len(texts) - containing + 0.5) / (containing + 0.5))
        norm = _K1 * (1 - _B + _B * lengths / max(lengths.mean(), 1e-6))
        values = idf[columns] * frequency * (_K1 + 1) / (frequency + norm[rows])
        self._weights = csr_matrix((values.astype(np.float32), (columns, rows)), (len(self._vocabulary), len(texts)))

    def scores(self, queries: list[str]) -> NDArray[np.float32]:
        """Dense scores [queries, texts]."""
        pairs = [(i, self._vocabulary[t]) for i, q in enumerate(queries) for t in terms(q) if t in self._vocabulary]
        rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
        asked = csr_matrix((np.ones(len(pairs), np.float32), (rows, columns)), (len(queries), len(self._vocabulary)))
        return np.asarray((asked @ self._weights).toarray())
