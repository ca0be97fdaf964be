from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from tests.training import made
from training.more_words import grown
from training.recast import fold_embeddings
from training.slots import SLOT
from training.vocabulary import SPECIALS, build_tokenizer

pytestmark = pytest.mark.needs("torch")

WORDS = [*made.pieces(), *(f"word{i}" for i in range(500))]
KNOWN = WORDS[: len(made.pieces()) + 400]
"""What the trimmed vocabulary has: more words than dimensions, so that a map can be learnt of them."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made.write_encoder(tmp_path_factory.mktemp("encoder"))
    lines = ["[PAD]", *WORDS, "é", "[unused0]"]
    (folder / "vocab.txt").write_text("\n".join([*lines, *(f"[row{i}]" for i in range(2000 - len(lines)))]))
    return folder


@pytest.fixture(scope="module")
def turned(encoder: Path) -> torch.Tensor:
    """The encoder's rows as training might leave them: turned, stretched and moved."""
    torch.manual_seed(0)
    rows, _ = fold_embeddings(load_file(encoder / "model.safetensors"), SLOT)
    turn, _ = torch.linalg.qr(torch.randn(384, 384))
    return 1.3 * rows @ turn + torch.randn(384)


@pytest.fixture(scope="module")
def result(encoder: Path, turned: torch.Tensor) -> tuple[torch.Tensor, Tokenizer]:
    rows = torch.cat([torch.zeros(len(SPECIALS), 384), turned[1 : 1 + len(KNOWN)]])
    checkpoint = {"model": {"tokens": rows}, "probe": {}}
    tokenizer = grown(checkpoint, encoder, build_tokenizer(KNOWN))
    return checkpoint["model"]["tokens"], tokenizer


def test_words_that_were_missing_get_the_rows_that_training_would_have_given_them(
    result: tuple[torch.Tensor, Tokenizer], turned: torch.Tensor
) -> None:
    rows, tokenizer = result
    for word in WORDS[len(KNOWN) :]:
        (piece,) = tokenizer.encode(word, add_special_tokens=False).ids
        wanted = turned[1 + WORDS.index(word)]
        assert (rows[piece] - wanted).norm() < 0.1 * wanted.norm()


def test_ids_of_before_and_their_rows_stay(result: tuple[torch.Tensor, Tokenizer], turned: torch.Tensor) -> None:
    rows, tokenizer = result
    before = build_tokenizer(KNOWN).get_vocab()
    assert before.items() <= tokenizer.get_vocab().items()
    assert torch.equal(rows[len(SPECIALS) : len(SPECIALS) + len(KNOWN)], turned[1 : 1 + len(KNOWN)])


def test_letters_of_other_scripts_and_rows_without_a_word_are_left_out(result: tuple[torch.Tensor, Tokenizer]) -> None:
    rows, tokenizer = result
    assert len(rows) == len(SPECIALS) + len(WORDS) == tokenizer.get_vocab_size()
    assert not {"é", "[unused0]", "[row3]"} & tokenizer.get_vocab().keys()
