from __future__ import annotations

import shutil
import time
from pathlib import Path

import anyio
import numpy as np
import onnxruntime
import pytest

from service.deadline import Deadline
from service.engine.onnx import OnnxRunner, onnx_scorer
from service.engine.scorer import Prompt
from service.errors import DeadlineExceeded, EngineUnavailable, ProfileError
from service.ranking.profile import MODELS

pytestmark = pytest.mark.anyio

FOLDER = MODELS / "onepass-mini"
LABELS = tuple(range(4, 24))
FULL = Prompt(np.tile(np.arange(500, 1350, dtype=np.uint32), 2), LABELS)
"""A prompt of 1,700 tokens: a forward pass of hundreds of milliseconds."""


async def test_answers_are_the_runtimes_own() -> None:
    runner = OnnxRunner(FOLDER)
    ids = np.arange(700, 730, dtype=np.uint32)
    answers = await runner.run([Prompt(ids, (9, 5)), Prompt(ids[:7], (7,))])
    await runner.close()
    session = onnxruntime.InferenceSession(next(FOLDER.glob("model*.onnx")))
    feed = {"input_ids": np.array([ids], dtype=np.int64), "last": np.array([29]), "label_ids": np.array([5, 7, 9])}
    ((five, _, nine),) = session.run(["logits"], feed)[0]
    assert answers[0] == pytest.approx((nine, five), abs=1e-3)
    assert len(answers[1]) == 1


async def test_a_deadline_does_not_wait_for_the_forward_pass() -> None:
    scorer = onnx_scorer(FOLDER, threads=1)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await scorer.score([FULL], Deadline.after(0.05))
    assert time.monotonic() - started < 0.3
    assert len(await scorer.score([Prompt(FULL.token_ids[:9], LABELS)], Deadline.after(30))) == 1
    await scorer.close()


async def test_the_event_loop_stays_responsive_during_a_forward_pass() -> None:
    scorer = onnx_scorer(FOLDER, threads=1)
    stalls = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await anyio.sleep(0.001)
            stalls.append(time.monotonic() - before)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await scorer.score([FULL], Deadline.never())
        group.cancel_scope.cancel()
    await scorer.close()
    assert sorted(stalls)[int(len(stalls) * 0.95)] < 0.02


async def test_the_name_tells_the_weights() -> None:
    runner = OnnxRunner(FOLDER)
    assert runner.model.startswith("onepass-mini@")
    await runner.close()


async def test_a_closed_runner_is_unavailable() -> None:
    runner = OnnxRunner(FOLDER)
    await runner.close()
    with pytest.raises(EngineUnavailable):
        await runner.run([FULL])


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"neither model\.int8\.onnx nor model\.onnx"):
        OnnxRunner(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09" * 100])
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    shutil.copy(FOLDER / "config.json", tmp_path)
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ProfileError, match=r"model\.onnx: not a model"):
        OnnxRunner(tmp_path)


def test_weights_cut_short_are_refused(tmp_path: Path) -> None:
    weights = next(FOLDER.glob("model*.onnx"))
    shutil.copy(FOLDER / "config.json", tmp_path)
    (tmp_path / weights.name).write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ProfileError, match="not a model"):
        OnnxRunner(tmp_path)


def test_a_graph_beside_the_words_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "mixed"))
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ProfileError, match=r"model\.safetensors: not the file that the graph"):
        OnnxRunner(folder)


def test_a_graph_without_its_words_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "wordless"))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ProfileError, match="not a model that can be run"):
        OnnxRunner(folder)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "config.json", tmp_path)
    other = Path(onnxruntime.__file__).parent / "datasets" / "sigmoid.onnx"
    shutil.copy(other, tmp_path / "model.onnx")
    with pytest.raises(ProfileError, match="not the label logits"):
        OnnxRunner(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"vocab_size": "many"}', "null"])
def test_a_configuration_that_says_too_little_is_refused(tmp_path: Path, content: str) -> None:
    shutil.copy(next(FOLDER.glob("model*.onnx")), tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ProfileError, match=r"config\.json"):
        OnnxRunner(tmp_path)
