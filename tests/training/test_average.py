from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch

from training import average
from training.average import mean
from training.errors import UnusableInput
from training.model import Decoder, load_decoder
from training.probe import Probe

pytestmark = pytest.mark.needs("torch")


def test_each_checkpoint_counts_by_its_share() -> None:
    states = [{"x": torch.tensor([value, 5.0])} for value in (1.0, 2.0, 4.0)]

    assert mean(states, [1, 1, 1])["x"].tolist() == pytest.approx([7 / 3, 5])
    assert mean(states, [2, 5, 3])["x"].tolist() == pytest.approx([2.4, 5])


def test_what_is_equal_in_all_stays_exactly_as_it_is() -> None:
    torch.manual_seed(0)
    state = {"x": torch.randn(1000)}

    assert torch.equal(mean([state] * 3, [0.3, 0.6, 0.1])["x"], state["x"])


def test_the_checkpoints_themselves_are_left_alone() -> None:
    states = [{"x": torch.zeros(2)}, {"x": torch.ones(2)}]
    mean(states, [1, 1])

    assert states[0]["x"].tolist() == [0, 0]


@pytest.mark.parametrize("shares", [[], [1], [1, 2, 3], [1, 0], [2, -1]])
def test_shares_are_one_positive_number_for_each(shares: list[float]) -> None:
    with pytest.raises(UnusableInput, match="shares"):
        mean([{"x": torch.zeros(2)}] * 2, shares)


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"tokens": torch.zeros(3, 4)}, "tokens"),
        ({}, "tokens"),
        ({"tokens": torch.zeros(2, 4), "more": torch.ones(1)}, "more"),
    ],
)
def test_models_of_other_shapes_are_refused_by_the_name_of_what_differs(
    other: dict[str, torch.Tensor], name: str
) -> None:
    with pytest.raises(UnusableInput, match=f": {name} is"):
        mean([{"tokens": torch.zeros(2, 4)}, other], [1, 1])


def test_the_command_writes_a_checkpoint_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [Decoder(vocab=60, layers=3), Decoder(vocab=60, layers=3)]
    paths = [tmp_path / "a.pt", tmp_path / "b.pt"]
    for model, path in zip(models, paths, strict=True):
        torch.nn.init.normal_(model.tokens)
        torch.save({"model": model.state_dict(), "probe": Probe().state_dict(), "counts": {"step": 7}}, path)
    out = tmp_path / "made" / "mean.pt"
    command = ["average", "--checkpoints", *map(str, paths), "--shares", "1", "3", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)

    average.main()

    found = load_decoder(out)
    wanted = 0.25 * models[0].tokens + 0.75 * models[1].tokens
    assert torch.allclose(found.tokens, wanted, atol=1e-6)
