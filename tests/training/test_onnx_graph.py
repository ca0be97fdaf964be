"""The int8 graph of the weights that ship, against the float32 one, on windows of this project's own documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import onnxruntime
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.imported import read_model
from training.model import HEADS, Decoder, encoder_layers
from training.onnx_graph import build
from training.ranges import Ranges, ranges
from training.slots import FRONT, SLOT
from training.vocabulary import LABEL_IDS
from training.windows import spell

pytestmark = pytest.mark.needs("torch")

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "service/models/onepass-mini"
QUERIES = ["how are answers cached", "what happens when the engine is down", "build an index of a folder"]
PASSAGES = 20


@pytest.fixture(scope="module")
def model() -> Decoder:
    return read_model(FOLDER)


def windows_of(queries: list[str]) -> list[list[int]]:
    """A window for each query; their passages differ."""
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    text = "\n\n".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    paragraphs = [part for part in text.split("\n\n") if len(part) > 80]

    def ids(text: str, most: int) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids[:most])

    shown = [paragraphs[start : start + PASSAGES] for start in range(0, PASSAGES * len(queries), PASSAGES)]
    return [
        spell(ids(query, 31), [ids(one, 78) for one in passages], LABEL_IDS[:PASSAGES])[0]
        for query, passages in zip(queries, shown, strict=True)
    ]


@pytest.fixture(scope="module")
def windows() -> list[list[int]]:
    return windows_of(QUERIES)


def logits(model: Decoder, windows: list[list[int]], of_inputs: Ranges | None = None) -> NDArray[np.float32]:
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    graph = build(weights, HEADS, of_inputs).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = [
        session.run(None, {"input_ids": np.array([ids]), "last": [len(ids) - 1], "label_ids": LABEL_IDS[:PASSAGES]})
        for ids in windows
    ]
    return np.stack([answer[0][0] for answer in found])


def lost(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Mean distance of a window's logits, less their mean, to what they should be, in its standard deviations."""
    found, exact = (values - values.mean(1, keepdims=True) for values in (found, exact))
    return float(np.abs(found - exact).mean() / exact.std(1).mean())


def test_eight_bits_lose_less_where_large_values_are_known(model: Decoder, windows: list[list[int]]) -> None:
    exact = logits(model, windows)
    known = logits(model, windows, ranges(model))

    assert lost(known, exact) < 0.08
    assert lost(known, exact) < lost(logits(model, windows, {}), exact)


@pytest.mark.parametrize("query", QUERIES)
def test_what_eight_bits_move_is_alike_in_all_windows_of_a_list(model: Decoder, query: str) -> None:
    """Logits of different windows are compared with each other."""
    windows = windows_of([query] * 3)
    moved = logits(model, windows, ranges(model)) - logits(model, windows)
    assert np.ptp(moved.mean(1)) < 0.1


def test_building_one_graph_does_not_change_the_next(model: Decoder, windows: list[list[int]]) -> None:
    before = logits(model, windows[:1])
    logits(model, windows[:1], ranges(model))

    assert np.array_equal(logits(model, windows[:1]), before)


@torch.no_grad()
def test_attention_that_is_cut_by_slots_sees_what_whole_attention_sees(
    model: Decoder, windows: list[list[int]]
) -> None:
    whole = model.embed(torch.tensor([windows[0]]), torch.float32)
    padded = torch.nn.functional.pad(torch.tensor([windows[0]]), (0, FRONT + (PASSAGES + 1) * SLOT - len(windows[0])))
    cut = model.embed(padded, torch.float32)
    for layer in encoder_layers(model):
        whole, cut = layer(whole), layer.by_slot(cut)

    near = torch.nn.functional.cosine_similarity(whole[0], cut[0, : len(windows[0])], dim=-1)
    assert near.mean() > 0.995
    openings = near[FRONT::SLOT]
    assert openings.min() > 0.98
