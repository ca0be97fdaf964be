from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Cli
from tests.retrieval.milvus.lite import lite


def test_an_index_in_milvus_is_built_inspected_and_searched(
    cli: Cli, beir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lite(tmp_path / "milvus") as server:
        monkeypatch.setenv("ONEPASS_INDEXES__MILVUS_URL", server.options.url)
        assert "4 passages in" in cli("index", "build", beir, "--milvus").output
        assert "onepass_nature_" in cli("index", "inspect", "nature").output
        assert "Bees make honey" in cli("search", "how do bees make honey", "--candidates", "2").output


def test_the_server_has_to_be_named(cli: Cli, beir: Path) -> None:
    assert "milvus_url" in cli("index", "build", beir, "--milvus", code=2).output
