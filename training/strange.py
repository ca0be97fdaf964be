"""Text in scripts that the trimmed vocabulary lacks: to the model it is a run of unknown pieces.

A model that never sees such text lifts it. Its words are made of random letters, so that it says nothing, and the
teacher's vectors of it are what they are: far from every question.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.encoder import Encoder

_SCRIPTS = {  # first and last letter of each, and the most letters of a word
    "greek": (0x3B1, 0x3C9, 9),
    "cyrillic": (0x430, 0x44F, 9),
    "hebrew": (0x5D0, 0x5EA, 7),
    "arabic": (0x627, 0x64A, 7),
    "devanagari": (0x905, 0x939, 7),
    "thai": (0xE01, 0xE2E, 12),
    "kana": (0x3041, 0x3096, 20),
    "han": (0x4E00, 0x9FA5, 20),
    "hangul": (0xAC00, 0xD7A3, 5),
}
_COUNT = 600
STRANGE = "strange.npz"


@dataclass(frozen=True)
class Strange:
    """Such texts as ids, and the teacher's vectors of them."""

    passages: list[NDArray[np.int32]]
    vectors: NDArray[np.float16]


def strange_texts(random: np.random.Generator) -> list[str]:
    """Random words, some with figures and marks between them."""
    texts, scripts = [], list(_SCRIPTS.values())
    for number in range(_COUNT):
        first, last, longest = scripts[number % len(scripts)]
        words = []
        for _ in range(int(random.integers(3, 80))):
            letters = random.integers(first, last + 1, int(random.integers(1, longest + 1)))
            words.append("".join(map(chr, letters)) + str(random.choice(["", "", "", "", ",", ".", " 1", " 20"])))
        texts.append(" ".join(words))
    return texts


def save_strange(tokenizer: Tokenizer, encoder: Encoder, longest: int, path: Path) -> None:
    """Makes and writes them, each of at most ``longest`` tokens."""
    texts = strange_texts(np.random.default_rng(0))
    ids = [np.array(tokenizer.encode(text, add_special_tokens=False).ids[:longest], np.int32) for text in texts]
    np.savez(path, flat=np.concatenate(ids), lengths=list(map(len, ids)), vectors=encoder.embed(texts).numpy())


def load_strange(path: Path) -> Strange:
    """Reads what ``save_strange`` wrote."""
    with np.load(path) as arrays:
        return Strange(np.split(arrays["flat"], np.cumsum(arrays["lengths"])[:-1]), arrays["vectors"])
