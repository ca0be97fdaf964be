from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from loadtest.vllm_reference import ReferenceScorer
from service.engine.vllm import safetensors

CODES = {0x00: 0.0, 0x01: 2**-9, 0x08: 2**-6, 0x38: 1.0, 0x3C: 1.5, 0x7E: 448.0, 0xB8: -1.0, 0xFE: -448.0}
"""Codes of E4M3 and what they stand for, from the table of the format."""


def test_weights_of_eight_bits_are_read_for_what_they_stand_for(tmp_path: Path) -> None:
    codes = np.array([*CODES, 0x7F], np.uint8)
    tensor = safetensors.Tensor("F8_E4M3", codes.shape, memoryview(codes.tobytes()))
    safetensors.write(tmp_path / "model.safetensors", {"model.decoder.weight": tensor})
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 1, "num_hidden_layers": 0}))

    *values, last = ReferenceScorer(tmp_path)._weights["weight"].tolist()

    assert values == pytest.approx(list(CODES.values()))
    assert np.isnan(last)
