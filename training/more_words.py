"""Gives a trained model the rest of the encoder's words, without training.

A word that the trimmed vocabulary spells in pieces is half unknown to the model, most of all in a short query. Training
turns and stretches the encoder's rows of words alike (an affine map gives 96% of each row back), so the rows of words
that the model never saw are made by the same map. Ids of before stay as they are; the pointer is to be solved anew,
and ``training.data`` to be run with the new tokenizer before more training.

usage: python -m training.more_words --encoder DIR --checkpoint checkpoint.pt --tokenizer DIR --out DIR
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from training.probe import solved
from training.recast import fold_embeddings
from training.slots import LONGEST, SLOT
from training.vocabulary import SPECIALS, build_tokenizer, save_tokenizer

_RIDGE = 1e-5


def known_pieces(tokenizer: Tokenizer) -> list[str]:
    """What it knows, but for identifiers, by id."""
    known = tokenizer.get_vocab()
    return sorted(known, key=known.__getitem__)[len(SPECIALS) :]


def missing(source: list[str], known: list[str]) -> list[str]:
    """Pieces of Latin letters, figures and marks that are not known yet."""
    there = set(known)
    return [piece for piece in source if piece.isascii() and not piece.startswith("[") and piece not in there]


def rows_of(added: list[str], known: list[str], rows: Tensor, encoder_rows: dict[str, Tensor]) -> Tensor:
    """Rows [added, width] by the affine map from the encoder's rows to ``rows`` [known, width]."""
    weight, bias = solved(torch.stack([encoder_rows[piece] for piece in known]), rows, _RIDGE)
    return torch.stack([encoder_rows[piece] for piece in added]) @ weight.T + bias


def grown(checkpoint: dict[str, dict[str, Tensor]], encoder: Path, tokenizer: Tokenizer) -> Tokenizer:
    """Adds the rows to the checkpoint's model; returns the tokenizer that goes with them."""
    source = (encoder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    folded, _ = fold_embeddings(load_file(encoder / "model.safetensors"), SLOT)
    known = known_pieces(tokenizer)
    added = missing(source, known)
    rows = checkpoint["model"]["tokens"]
    found = rows_of(added, known, rows[len(SPECIALS) :], dict(zip(source, folded, strict=True)))
    checkpoint["model"]["tokens"] = torch.cat([rows, found])
    return build_tokenizer([*known, *added])


def main() -> None:
    """Writes ``checkpoint.pt``, with the model and its probe, and the tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("encoder", "checkpoint", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    state = torch.load(arguments.checkpoint, weights_only=True)
    checkpoint = {"model": state["model"], "probe": state["probe"]}
    tokenizer = grown(checkpoint, arguments.encoder, Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json")))
    save_tokenizer(tokenizer, arguments.out, LONGEST)
    torch.save(checkpoint, arguments.out / "checkpoint.pt")
    print(f"{len(checkpoint['model']['tokens']):,} rows")


if __name__ == "__main__":
    main()
