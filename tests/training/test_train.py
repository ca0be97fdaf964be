from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch

from tests.training import made
from training.average import mean
from training.imported import read_model
from training.settings import Settings
from training.train import BEGINNING, trained

pytestmark = pytest.mark.needs("torch")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection as training reads it, and an exported model in ``model``."""
    folder = tmp_path_factory.mktemp("prepared")
    encoder = made.write_encoder(folder / "encoder")
    made.write_model(made.pointed(encoder, made.windows(encoder, folder)), folder / "model")
    return folder


def settings() -> Settings:
    configured = made.settings()
    return replace(configured, data=replace(configured.data, weights={"own": 1.0}, dev_queries=0))


def test_what_an_exported_model_was_read_as_is_kept_for_the_mean(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.shrink(monkeypatch)
    run = trained(prepared / "model", prepared, tmp_path / "checkpoint.pt", settings())
    beginning = torch.load(tmp_path / BEGINNING, weights_only=True)

    assert torch.equal(beginning["model"]["tokens"], read_model(prepared / "model").tokens)
    for part, state in (("model", run.model.state_dict()), ("probe", run.probe.state_dict())):
        assert not all(map(torch.equal, beginning[part].values(), state.values()))
        assert mean([beginning[part], state], [0.4, 0.6]).keys() == state.keys()


def test_a_checkpoint_that_a_run_began_at_is_not_written_again(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.shrink(monkeypatch)
    trained(prepared / "model", prepared, tmp_path / "first" / "checkpoint.pt", settings())
    trained(tmp_path / "first" / BEGINNING, prepared, tmp_path / "second" / "checkpoint.pt", settings())

    assert not (tmp_path / "second" / BEGINNING).exists()
