"""A model hub's cache with what is looked at of one model, and no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import huggingface_hub.constants
import pytest
from tokenizers import Tokenizer

COMMIT = "0" * 40


def offline_hub(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, tokenizer: Tokenizer, config: Mapping[str, object]
) -> None:
    """Let the hub's client find ``name``'s main branch in ``folder``, with that tokenizer and ``config.json``."""
    repository = folder / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    tokenizer.save(str(snapshot / "tokenizer.json"))
    (snapshot / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
