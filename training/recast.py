"""Recast a sentence encoder in BERT's layout as a causal decoder in OPT's layout.

Both are post-layer-norm transformers with biases, learned positions and GELU, so all layers copy one to one. Two things
differ. OPT (``do_layer_norm_before=false``) has no layer norm after the embeddings: the standard deviation of token +
type + position vectors is nearly constant, so the norm folds into the two tables. And the encoder knows 512 positions:
the decoder's table repeats the rows of the first 63, so every stretch of the context looks like a short passage.

The encoder's heads rest on ``[CLS]`` when they have nothing to say; without it the copied layers compute something else
(cosine to the teacher's sentence vector .5 instead of .99). So ``[QUERY]``, the first token, *is* ``[CLS]`` at position
0, and the labels start as ``[CLS]`` plus noise.

usage: python -m training.recast --encoder DIR --data DIR --out DIR
"""

import argparse
import json
import math
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from training.beir import joined_text, read_jsonl
from training.model import HEADS
from training.settings import load_settings
from training.vocabulary import QUERY_ID, SPECIALS, build_tokenizer, choose_pieces, save_tokenizer, word_shares

_FIRST_WORD_ROW = 1996  # BERT's vocabulary lists its words by frequency from "the" on
_SHARPNESS = 13.0  # of the pointer: what a cosine of 1 adds to a head's score
_LAYER_NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "widen",
    "output.dense": "narrow",
    "output.LayerNorm": "output_norm",
}


def centred(rows: Tensor) -> Tensor:
    """Rows minus their mean."""
    return rows - rows.mean(-1, keepdim=True)


def fold_embeddings(weights: dict[str, Tensor], period: int) -> tuple[Tensor, Tensor]:
    """Token and position tables that need no layer norm after their sum."""
    tokens = weights["embeddings.word_embeddings.weight"]
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    positions = weights["embeddings.position_embeddings.weight"][1 : 1 + period]
    gain, bias = weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"]
    sample = tokens[1000:29000:7]
    sample = sample + kind + positions[torch.arange(len(sample)) % period]
    scale = sample.std(1, unbiased=False).mean()
    return gain * centred(tokens) / scale, gain * centred(positions + kind) / scale + bias


def sentence_start(weights: dict[str, Tensor], row: int) -> Tensor:
    """What the encoder's first layer sees for ``[CLS]`` at position 0, its layer norm applied."""
    name = "embeddings."
    token = weights[name + "word_embeddings.weight"][row] + weights[name + "token_type_embeddings.weight"][0]
    summed = token + weights[name + "position_embeddings.weight"][0]
    return F.layer_norm(summed, summed.shape, weights[name + "LayerNorm.weight"], weights[name + "LayerNorm.bias"])


def recast(weights: dict[str, Tensor], rows: list[int], period: int, start_row: int) -> dict[str, Tensor]:
    """The decoder's parameters under this folder's own names (see ``model.py``)."""
    tokens, positions = fold_embeddings(weights, period)
    start = sentence_start(weights, start_row)
    fresh = start - positions.mean(0) + 0.3 * torch.randn(len(SPECIALS), tokens.shape[1])
    fresh[QUERY_ID] = start - positions[0]
    made = {"tokens": torch.cat([fresh, tokens[rows]]), "positions": positions}
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))
    for i in range(layers):
        for theirs, ours in _LAYER_NAMES.items():
            for kind in ("weight", "bias"):
                made[f"layers.{i}.{ours}.{kind}"] = weights[f"encoder.layer.{i}.{theirs}.{kind}"].clone()
    made |= {f"layers.{layers}.{name}": value for name, value in pointer(made, layers - 1).items()}
    return {name: value.contiguous() for name, value in made.items()}


def pointer(made: dict[str, Tensor], below: int) -> dict[str, Tensor]:
    """One layer more than the encoder has: look for states that are like one's own, and take them over.

    The encoder's last states lie close to its sentence vectors, so their products are the similarity that is wanted.
    Each head sees a slice of a random rotation. Values pass as they are, and the feed-forward part starts silent.
    """
    last = f"layers.{below}."
    gain, bias = made[last + "output_norm.weight"], made[last + "output_norm.bias"]
    width = len(gain)
    rotation, _ = torch.linalg.qr(torch.randn(width, width))
    per_head = (gain.square() + bias.square()).sum() / HEADS / math.sqrt(width / HEADS)
    looking = rotation * math.sqrt(_SHARPNESS / float(per_head))
    eye, zero, one = torch.eye(width), torch.zeros(width), torch.ones(width)
    weights = {"query": looking, "key": looking.clone(), "value": eye, "output": eye.clone()}
    weights |= {"widen": made[last + "widen.weight"].clone(), "narrow": torch.zeros_like(made[last + "narrow.weight"])}
    found = {f"{name}.weight": value for name, value in weights.items()}
    found |= {f"{name}.bias": zero.clone() for name in ("query", "key", "value", "output", "narrow")}
    found["widen.bias"] = made[last + "widen.bias"].clone()
    for name in ("attention_norm", "output_norm"):
        found |= {f"{name}.weight": one.clone(), f"{name}.bias": zero.clone()}
    return found


def main() -> None:
    """Writes the tokenizer and ``recast.safetensors``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, required=True, help="folder with model.safetensors and vocab.txt")
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets in BEIR layout")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    settings = load_settings()
    torch.manual_seed(settings.seed)

    source = (arguments.encoder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    general = [piece for piece in source[_FIRST_WORD_ROW:] if piece.isalpha()]
    names = [name for name in settings.data.weights if (arguments.data / name).is_dir()]
    texts = [
        [
            joined_text(record)
            for file in ("corpus", "queries")
            for record in islice(read_jsonl(arguments.data / name / f"{file}.jsonl.gz"), 8000)
        ]
        for name in names
    ]
    pieces = choose_pieces(source, word_shares(texts, general), settings.recast.vocab_size - len(SPECIALS))
    ids = {piece: i for i, piece in enumerate(source)}
    weights = load_file(arguments.encoder / "model.safetensors")
    model = recast(weights, [ids[piece] for piece in pieces], settings.recast.period, ids["[CLS]"])

    save_tokenizer(build_tokenizer(pieces), arguments.out, settings.recast.context)
    save_file(model, arguments.out / "recast.safetensors")
    print(json.dumps({"pieces": len(pieces), "parameters": sum(value.numel() for value in model.values())}))


if __name__ == "__main__":
    main()
