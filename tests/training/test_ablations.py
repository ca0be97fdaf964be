from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

from safetensors.torch import save_file

from tests.training import made
from training import ablations
from training.ablations import CHANGES, changed, main

pytestmark = pytest.mark.needs("torch")


def settings() -> object:
    configured = made.settings()
    return replace(configured, data=replace(configured.data, weights={"own": 1.0}))


def test_every_change_is_one_of_the_settings_and_differs_from_them() -> None:
    configured = made.settings()
    for name, change in CHANGES.items():
        found = changed(configured, change, configured.train.minutes)
        alike = found.train == configured.train and found.data.weights == configured.data.weights
        assert alike is (name == "as it is")


def test_runs_are_measured_on_queries_that_none_of_them_saw_and_not_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = made.write_encoder(tmp_path / "encoder")
    made.windows(encoder, tmp_path)
    save_file(made.decoder(encoder).state_dict(), tmp_path / "start.safetensors")
    made.shrink(monkeypatch)
    monkeypatch.setattr(ablations, "load_settings", settings)
    monkeypatch.setattr(ablations, "_HELD_OUT", 5)
    arguments = ["ablations", "--data", tmp_path, "--start", tmp_path / "start.safetensors", "--out", tmp_path / "out"]
    only = ["--minutes", "0.02", "--only", "as it is", "ranking alone"]
    monkeypatch.setattr(sys, "argv", [*map(str, arguments), *only])
    main()
    first = capsys.readouterr().out
    main()
    again = capsys.readouterr().out

    table = [line.split(" | ") for line in first.splitlines()[-2:]]
    assert [row[0] for row in table] == ["| as it is", "| ranking alone"]
    assert all(int(row[1].replace(",", "")) > 0 for row in table)
    assert all(-1 <= float(value.strip(" |")) <= 1 for row in table for value in row[2:])
    assert table[0][2:] != table[1][2:]
    assert again.splitlines()[-2:] == first.splitlines()[-2:]
