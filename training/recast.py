"""Recast a sentence encoder in BERT's layout as a causal decoder in OPT's layout.

Both are post-layer-norm transformers with biases, learned positions and GELU, so all layers copy one to one. Two things
differ. OPT (``do_layer_norm_before=false``) has no layer norm after the embeddings: the standard deviation of token +
type + position vectors is nearly constant, so the norm folds into the two tables. And the encoder reads one passage
alone: the decoder's positions begin anew in every slot, and ``carve.py`` hides the slots from each other.

The encoder's heads rest on ``[CLS]`` when they have nothing to say; without it the copied layers compute something else
(cosine to the teacher's sentence vector .5 instead of .99). So ``[QUERY]``, the first token, *is* ``[CLS]`` at position
0, and the labels start as ``[CLS]`` plus noise.

usage: python -m training.recast --encoder DIR --data DIR --out DIR
"""

import argparse
import json
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from training.beir import joined_text, read_jsonl
from training.carve import carve
from training.model import Decoder
from training.settings import load_settings
from training.slots import FRONT, LONGEST, SLOT, SLOTS
from training.vocabulary import (
    LABEL_IDS,
    QUERY_ID,
    SPECIALS,
    build_tokenizer,
    choose_pieces,
    save_tokenizer,
    word_shares,
)
from training.windows import spell

_SHOWN = 8  # passages of each set, for the layer norms
_FIRST_WORD_ROW = 1996  # BERT's vocabulary lists its words by frequency from "the" on
_NOISE = 0.1  # that tells labels apart
_GATHERED = 8.0  # of the mean, next to a position's own state
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


def fold_embeddings(weights: dict[str, Tensor], places: int) -> tuple[Tensor, Tensor]:
    """Token and position tables that need no layer norm after their sum; positions 0 to ``places``."""
    tokens = weights["embeddings.word_embeddings.weight"]
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    positions = weights["embeddings.position_embeddings.weight"][:places]
    gain, bias = weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"]
    sample = tokens[1000:29000:7]
    sample = sample + kind + positions[torch.arange(len(sample)) % places]
    scale = sample.std(1, unbiased=False).mean()
    return gain * centred(tokens) / scale, gain * centred(positions + kind) / scale + bias


def sentence_start(weights: dict[str, Tensor], row: int) -> Tensor:
    """What the encoder's first layer sees for ``[CLS]`` at position 0, its layer norm applied."""
    name = "embeddings."
    token = weights[name + "word_embeddings.weight"][row] + weights[name + "token_type_embeddings.weight"][0]
    summed = token + weights[name + "position_embeddings.weight"][0]
    return F.layer_norm(summed, summed.shape, weights[name + "LayerNorm.weight"], weights[name + "LayerNorm.bias"])


def recast(weights: dict[str, Tensor], rows: list[int], start_row: int) -> dict[str, Tensor]:
    """The decoder's parameters under this folder's own names (see ``model.py``)."""
    tokens, places = fold_embeddings(weights, SLOT)
    start = sentence_start(weights, start_row) - places[0]
    fresh = start + _NOISE * torch.randn(len(SPECIALS), tokens.shape[1])
    fresh[QUERY_ID] = start
    made = {"tokens": torch.cat([fresh, tokens[rows]]), "places": places}
    made["slots"] = torch.zeros(SLOTS, tokens.shape[1])
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))
    for i in range(layers):
        for theirs, ours in _LAYER_NAMES.items():
            for kind in ("weight", "bias"):
                made[f"layers.{i}.{ours}.{kind}"] = weights[f"encoder.layer.{i}.{theirs}.{kind}"].clone()
    inner, width = made["layers.0.widen.weight"].shape
    for i in (layers, layers + 1):  # one gathers the mean of a slot, as a sentence vector is made; one will point
        made |= {f"layers.{i}.{name}": value for name, value in passing(width, inner).items()}
    return {name: value.contiguous() for name, value in made.items()}


def passing(width: int, inner: int) -> dict[str, Tensor]:
    """A layer that attends evenly and lets states pass; its feed-forward part is silent."""
    eye, zero, one = torch.eye(width), torch.zeros(width), torch.ones(width)
    found = {f"{name}.weight": torch.zeros(width, width) for name in ("query", "key")}
    found |= {"value.weight": eye, "output.weight": _GATHERED * eye}
    found |= {"widen.weight": torch.zeros(inner, width), "narrow.weight": torch.zeros(width, inner)}
    found |= {f"{name}.bias": zero.clone() for name in ("query", "key", "value", "output", "narrow")}
    found["widen.bias"] = torch.zeros(inner)
    for name in ("attention_norm", "output_norm"):
        found |= {f"{name}.weight": one.clone(), f"{name}.bias": zero.clone()}
    return found


def sample(tokenizer: Tokenizer, texts: list[list[str]]) -> Tensor:
    """Windows of texts of one set each, [windows, tokens]: what the layer norms are set on."""
    rows = []
    for found in texts:
        read = [tokenizer.encode(text[:2000], add_special_tokens=False).ids[: SLOT - 2] for text in found[:_SHOWN]]
        rows.append(spell(read[0][:16], read, LABEL_IDS[: len(read)])[0][: FRONT + _SHOWN * SLOT])
    return torch.tensor(rows)


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
    made = recast(weights, [ids[piece] for piece in pieces], ids["[CLS]"])
    model = Decoder(len(made["tokens"]), layers=1 + max(int(n.split(".")[1]) for n in made if n.startswith("layers.")))
    model.load_state_dict(made)
    tokenizer = build_tokenizer(pieces)
    carve(model, sample(tokenizer, texts))

    save_tokenizer(tokenizer, arguments.out, LONGEST)
    save_file(model.state_dict(), arguments.out / "recast.safetensors")
    print(json.dumps({"pieces": len(pieces), "parameters": sum(value.numel() for value in model.parameters())}))


if __name__ == "__main__":
    main()
