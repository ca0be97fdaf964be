from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch
from safetensors.torch import load_file, save_file

from tests.training import made
from training.errors import UnusableInput
from training.imported import read_model
from training.model import Decoder, label_logits
from training.rounding import round_off
from training.slots import LONGEST
from training.train import agreement, vectors
from training.unpoint import unpoint
from training.windows import Batch

pytestmark = pytest.mark.needs("torch")

POSITIONS = "model.decoder.embed_positions.weight"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def windows(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    return made.windows(encoder, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def model(encoder: Path, windows: list[Batch]) -> Decoder:
    """Pointed, as exported models are."""
    return made.pointed(encoder, windows)


@pytest.fixture(scope="module")
def folder(model: Decoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write_model(model, tmp_path_factory.mktemp("model"))


def test_what_was_exported_is_read_back(model: Decoder, folder: Path) -> None:
    found = read_model(folder)

    for (name, value), ours in zip(model.named_parameters(), found.parameters(), strict=True):
        if name not in ("places", "slots"):
            assert torch.equal(value, ours), name
    assert torch.allclose(model.position_table(LONGEST), found.position_table(LONGEST), atol=0.02, rtol=0.01)


def test_a_model_that_is_read_back_answers_as_before(model: Decoder, folder: Path, windows: list[Batch]) -> None:
    batch = windows[-1]
    with torch.no_grad():
        before, after = (
            label_logits(each, each(batch.ids, batch.last, torch.float32), batch.labels)
            for each in (model, read_model(folder))
        )
    assert agreement(after, before) > 0.99


def test_the_probe_reads_what_the_pointer_compared(folder: Path, windows: list[Batch]) -> None:
    model, batch = read_model(folder), windows[0]
    with torch.no_grad():
        logits = label_logits(model, model(batch.ids, batch.last), batch.labels)
        probe = unpoint(model, windows)
        passages, queries = vectors(model, probe, batch, whole=True)
    assert agreement((passages * queries[:, None]).sum(-1), logits) > 0.9


def shorter(table: torch.Tensor) -> torch.Tensor:
    return table[:-1].clone()


def shaken(table: torch.Tensor) -> torch.Tensor:
    return (table.float() + torch.randn(table.shape)).to(table.dtype)


@pytest.mark.parametrize(("change", "told"), [(shorter, "it knows 1711 positions"), (shaken, "no sums of a place")])
def test_a_model_without_slots_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], told: str
) -> None:
    shutil.copyfile(folder / "config.json", tmp_path / "config.json")
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, POSITIONS: change(weights[POSITIONS])}, tmp_path / "model.safetensors")
    with pytest.raises(UnusableInput, match=told):
        read_model(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"not a model that training\.export wrote"):
        read_model(tmp_path)


def test_rounding_again_changes_nothing(folder: Path) -> None:
    model = read_model(folder)
    before = [value.clone() for name, value in model.named_parameters() if name not in ("places", "slots")]
    round_off(model)
    after = [value for name, value in model.named_parameters() if name not in ("places", "slots")]
    assert all(map(torch.equal, before, after))
