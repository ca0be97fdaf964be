from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch

from service.domain import Document
from service.engine.onnx import OnnxRunner
from service.ranking.profile import find
from service.ranking.prompt import PromptBuilder
from tests.training import made
from training import finetune as command
from training.errors import UnusableInput
from training.evaluate import Reranker
from training.finetune import GRAPH, Task, finetune
from training.imported import read_model
from training.probe import Probe

pytestmark = pytest.mark.needs("torch")

SERVED = ("config.json", "model.int8.onnx", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set, an encoder and an exported model to start from."""
    folder = tmp_path_factory.mktemp("given")
    made.write_set(folder / "set")
    encoder = made.write_encoder(folder / "encoder")
    (folder / "prepared").mkdir()
    made.write_model(made.pointed(encoder, made.windows(encoder, folder / "prepared")), folder / "start")
    return folder


def task(given: Path, out: Path, name: str = "mine") -> Task:
    return Task(given / "set", given / "encoder", given / "start", given / "start", out, name)


@pytest.fixture(scope="module")
def out(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fine-tuning makes."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        made.shrink(patch)
        assert finetune(task(folders, out), made.settings()) is not None
    return out


def test_profile_and_weights_are_found_where_the_settings_say(out: Path) -> None:
    profile = find("mine", out, out)

    assert profile.directory == out / "mine"
    found = {file.name for file in profile.directory.iterdir()}
    assert found == {*SERVED, "finetuning.json"}


def test_a_full_window_is_read_as_in_training(out: Path) -> None:
    """The service's prompt is the one that training spells, token for token."""
    profile = find("mine", out, out)
    builder, source = PromptBuilder(profile), made.source()
    names = list(source.corpus)[:20]
    passages = [passage.ids for passage in builder.encode([Document(name, source.corpus[name]) for name in names])]
    prompt = builder.build(builder.query_ids(source.queries["q3"]), passages)
    reranker = Reranker(out / "mine" / GRAPH, out / "mine", threads=1, window=20, passage_tokens=78)

    (answers,) = asyncio.run(OnnxRunner(out / "mine", threads=1).run([prompt]))
    scores = profile.scores([answers])

    asked = reranker.ids(source.queries["q3"], 64)
    expected = reranker.logits(asked, [reranker.ids(source.corpus[name], 78) for name in names])
    assert answers[-1] == 0
    assert np.allclose(scores, expected)
    assert np.isfinite(scores).all()


def test_figures_stand_beside_the_weights(out: Path) -> None:
    figures = json.loads((out / "mine" / "finetuning.json").read_text())

    assert figures["queries"] == 6
    assert all(0 <= figures[name] <= 1 for name in ("first_stage", "before", "after"))


def test_nothing_else_is_left(out: Path) -> None:
    assert {path.name for path in out.iterdir()} == {"mine", "mine.yaml"}


def test_a_checkpoint_is_a_start_as_well(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.shrink(monkeypatch)
    model = read_model(folders / "start")
    torch.save({"model": model.state_dict(), "probe": Probe().state_dict()}, tmp_path / "run.pt")
    from_checkpoint = replace(task(folders, tmp_path / "out"), start=tmp_path / "run.pt")

    assert finetune(from_checkpoint, made.settings()) is not None


def test_a_stopped_run_goes_on_here_from_weights_that_were_fine_tuned(
    out: Path, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.shrink(monkeypatch)
    stopped = replace(task(folders, tmp_path, "more"), start=out / "mine", tokenizer=out / "mine")
    with monkeypatch.context() as patch:
        patch.setattr("training.train._train", lambda *_: None)  # as if the signal had come at once
        assert finetune(stopped, made.settings()) is None
    assert stopped.checkpoint.exists()
    assert not stopped.model.exists()

    assert finetune(stopped, made.settings()) is not None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "My Reranker"}, "name: String should match pattern"),
        ({"start": Path("nowhere.pt")}, "neither a model's folder nor a checkpoint"),
        ({"tokenizer": Path("nowhere")}, "there is no tokenizer.json"),
        ({"data": Path("nowhere")}, "neither corpus.jsonl nor corpus.jsonl.gz"),
    ],
)
def test_what_cannot_be_used_is_told_before_training(
    folders: Path, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(UnusableInput, match=told):
        finetune(replace(task(folders, tmp_path), **change), made.settings())


def test_the_command_tells_what_is_wrong_in_a_line(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "data": folders / "set",
        "encoder": folders / "encoder",
        "out": tmp_path,
        "name": "mine",
        "start": tmp_path,
    }
    monkeypatch.setattr(sys, "argv", ["finetune", *(f"--{name}={value}" for name, value in given.items())])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "not a model that training.export wrote" in capsys.readouterr().err
