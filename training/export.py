"""Writes a trained decoder as vLLM and ONNX Runtime read it.

``config.json`` and ``model.safetensors`` (``OPTForCausalLM``; most matrices are kept in float8 and become bfloat16 when
they are loaded), the tokenizer's two files and ``model.int8.onnx``; with ``--float32`` also ``model.fp32.onnx``. The
int8 graph reads its words from ``model.safetensors`` and holds that file's SHA-256, so that only these two go together.

usage: python -m training.export --weights checkpoint.pt --tokenizer DIR --out DIR [--float32]
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor

from service.engine.onnx import SHARED
from training.model import HEADS, Decoder, load_decoder
from training.onnx_graph import StoredTable, build
from training.ranges import ranges
from training.rounding import round_off, stored_as
from training.slots import LONGEST
from training.vocabulary import PAD, SPECIALS

OPT_NAMES = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "widen": "fc1",
    "narrow": "fc2",
    "output_norm": "final_layer_norm",
}
WEIGHTS = "model.safetensors"
TOKENS = "model.decoder.embed_tokens.weight"
OPT_OFFSET = 2  # OPT's position table starts at row 2


def opt_weights(model: Decoder, context: int) -> dict[str, Tensor]:
    """Parameters under OPT's names; positions are written out for the whole context."""
    positions = model.position_table(context)
    table = torch.cat([torch.zeros(OPT_OFFSET, positions.shape[1]), positions])
    named = {"embed_positions.weight": table.to(torch.bfloat16)}
    for name, value in model.named_parameters():
        stored = value.detach().to(stored_as(name, len(model.layers))).contiguous()
        if name == "tokens":
            named["embed_tokens.weight"] = stored
        elif name.startswith("layers."):
            _, i, part, kind = name.split(".")
            named[f"layers.{i}.{OPT_NAMES[part]}.{kind}"] = stored
    return {f"model.decoder.{name}": value.contiguous() for name, value in named.items()}


def opt_config(model: Decoder, context: int) -> dict[str, object]:
    """The ``config.json`` of these weights."""
    vocab, width = model.tokens.shape
    return {
        "architectures": ["OPTForCausalLM"],
        "model_type": "opt",
        "torch_dtype": "bfloat16",
        "vocab_size": vocab,
        "hidden_size": width,
        "word_embed_proj_dim": width,
        "num_hidden_layers": len(model.layers),
        "num_attention_heads": HEADS,
        "ffn_dim": model.layers[0].widen.out_features,  # type: ignore[union-attr]
        "max_position_embeddings": context,
        "activation_function": "gelu",
        "do_layer_norm_before": False,
        "_remove_final_layer_norm": True,
        "enable_bias": True,
        "layer_norm_elementwise_affine": True,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "layerdrop": 0.0,
        "tie_word_embeddings": True,
        "pad_token_id": SPECIALS.index(PAD),
        "bos_token_id": None,
        "eos_token_id": SPECIALS.index(PAD),
        "use_cache": True,
    }


def export(model: Decoder, tokenizer: Path, out: Path, context: int, float32: bool = False) -> None:
    """Writes all files of one model folder."""
    out.mkdir(parents=True, exist_ok=True)
    save_file(opt_weights(model, context), out / WEIGHTS, {"format": "pt"})
    (out / WEIGHTS).chmod(0o644)
    (out / "config.json").write_text(json.dumps(opt_config(model, context), indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, out / name)
    weights = {name: value.detach().float().numpy() for name, value in model.named_parameters()}
    graph = build(weights, HEADS, ranges(model), stored_table(out / WEIGHTS))
    digest = hashlib.sha256((out / WEIGHTS).read_bytes()).hexdigest()
    onnx.helper.set_model_props(graph, {SHARED + WEIGHTS: digest})
    _save(graph, out / "model.int8.onnx")
    if float32:
        _save(build(weights, HEADS), out / "model.fp32.onnx")


def stored_table(path: Path) -> StoredTable:
    """Where the rows of the embedding table are in a ``.safetensors``: behind its header, whose length comes first."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[TOKENS]
    rows, width = entry["shape"]
    return StoredTable(path.name, 8 + length + entry["data_offsets"][0], (rows, width))


def _save(graph: onnx.ModelProto, path: Path) -> None:
    path.write_bytes(graph.SerializeToString())
    onnx.checker.check_model(str(path))


def main() -> None:
    """Exports a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("weights", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--float32", action="store_true", help="also write model.fp32.onnx")
    arguments = parser.parse_args()
    model = load_decoder(arguments.weights)
    round_off(model)
    export(
        model,
        arguments.tokenizer,
        arguments.out,
        LONGEST,
        arguments.float32,
    )


if __name__ == "__main__":
    main()
