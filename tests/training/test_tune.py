from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch
from transformers import BertConfig, BertModel

from service.corpus.beir import BeirFolder
from service.encoders.encoders import SHIPPED, Encoders
from service.errors import InvalidInput
from tests.training import made
from training import contrastive
from training.contrastive import Examples, Recipe, Run, also_relevant, batches, ranking_loss
from training.tune import Task, averaged, hard_negatives, main, read_set, tune

pytestmark = pytest.mark.needs("torch")

RECIPE = Recipe(epochs=4, batch=8, queries=100, learning_rate=3e-3, warmup_steps=2, keep=0.25, checkpoint_s=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write_set(tmp_path_factory.mktemp("data") / "toys")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with random weights."""
    torch.manual_seed(1)
    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    path = tmp_path_factory.mktemp("weights") / "start"
    BertModel(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoders() -> Iterator[Encoders]:
    with closing(Encoders(threads=1)) as opened:
        yield opened


def task(folder: Path, start: Path, out: Path) -> Task:
    return Task((folder,), out, start, SHIPPED)


def examples(folder: Path) -> Examples:
    return read_set(folder, RECIPE).examples


def margin(model: BertModel, encoders: Encoders, given: Examples) -> float:
    """How much nearer queries are to their relevant documents than to their hard negatives, by mean cosine."""
    queries = list(given.relevant)
    names = list(given.collection.corpus)
    tokens = encoders.tokens([given.collection.queries[query] for query in queries])
    with torch.no_grad():
        asked = contrastive.unit_vectors(model, tokens)
        documents = encoders.tokens([given.collection.corpus[name].text for name in names])
        cosines = (asked @ contrastive.unit_vectors(model, documents).T).numpy()
    places = {name: place for place, name in enumerate(names)}
    return float(
        np.mean(
            [
                row[[places[name] for name in given.relevant[query]]].mean()
                - row[[places[name] for name in given.negatives[query]]].mean()
                for query, row in zip(queries, cosines, strict=True)
            ]
        )
    )


def test_hard_negatives_are_from_rank_two_and_not_relevant() -> None:
    lists = {"q": ["first", "second", "relevant", "third"]}

    assert hard_negatives(lists, {"q": {"relevant": 1}}) == {"q": ["second", "third"]}


def test_batches_hold_each_query_once_and_one_set_each(folder: Path) -> None:
    given = examples(folder)
    found = batches([given, given], 8, [0, 0])

    assert found == batches([given, given], 8, [0, 0]) != batches([given, given], 8, [0, 1])
    assert all(len(queries) <= 8 for _, queries in found)
    for place in (0, 1):
        assert sorted(query for own, queries in found if own == place for query in queries) == sorted(given.relevant)


def test_loss_is_the_cross_entropy_of_the_own_passage() -> None:
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    passages = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    none = torch.zeros(2, 3, dtype=torch.bool)
    masked = none.clone()
    masked[0, 2] = True

    # Scores are [2, 0, 2] and [0, 2, 0].
    whole = np.log(2 * np.e**2 + 1) - 2, np.log(np.e**2 + 2) - 2
    assert ranking_loss(queries, passages, none, 2.0).item() == pytest.approx(np.mean(whole), rel=1e-5)
    without = np.log(np.e**2 + 1) - 2, np.log(np.e**2 + 2) - 2
    assert ranking_loss(queries, passages, masked, 2.0).item() == pytest.approx(np.mean(without), rel=1e-5)


def test_other_passages_that_answer_a_query_are_no_negatives() -> None:
    assert also_relevant([{"a", "b"}, {"c"}], ["a", "c", "b", "c"]).tolist() == [
        [False, False, True, False],
        [False, False, False, True],
    ]


def test_training_lowers_the_loss_and_prefers_relevant_documents(
    folder: Path, start: Path, encoders: Encoders, tmp_path: Path
) -> None:
    model, given = BertModel.from_pretrained(start).eval(), examples(folder)
    before = margin(model, encoders, given)
    run = Run(model, encoders, [given], replace(RECIPE, epochs=10), tmp_path / "checkpoint.pt")
    run.train()

    assert run.step == run.steps == 40
    assert np.mean(run.losses[-8:]) < 0.8 * np.mean(run.losses[:4])
    assert margin(model, encoders, given) > before + 0.1


def test_averaged_weights_are_the_average() -> None:
    start, tuned = {"w": torch.tensor([0.0, 4.0]), "n": torch.tensor(3)}, {"w": torch.ones(2), "n": torch.tensor(3)}

    assert averaged(start, tuned, 0.25)["w"].tolist() == [0.75, 1.75]
    assert averaged(start, tuned, 1.0)["w"].tolist() == [0.0, 4.0]
    assert averaged(start, tuned, 0.25)["n"].item() == 3


def test_interrupted_run_ends_with_the_same_files(
    folder: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune(task(folder, start, tmp_path / "whole"), RECIPE)
    calls = []

    def interrupted(*given: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return ranking_loss(*given)

    with monkeypatch.context() as patch:
        patch.setattr(contrastive, "ranking_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tune(task(folder, start, tmp_path / "parts"), RECIPE)
    assert (tmp_path / "parts" / "work" / "checkpoint.pt").exists()
    with pytest.raises(InvalidInput, match="unfinished run of another command"):
        tune(task(folder, start, tmp_path / "parts"), replace(RECIPE, seed=1))
    parts = tune(task(folder, start, tmp_path / "parts"), RECIPE)

    assert parts == whole
    files = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file()}
    assert {str(file) for file in files} >= {"dense.onnx", "sparse.onnx", "tokenizer.json", "weights/model.safetensors"}
    assert not (tmp_path / "parts" / "work").exists()
    for file in files:
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_result_is_a_folder_of_encoders_with_the_averaged_weights(folder: Path, start: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    figures = tune(task(folder, start, out), RECIPE)["toys"]
    model = BertModel.from_pretrained(out / "weights").eval()
    with closing(Encoders(out, threads=1)) as tuned:
        tokens = tuned.tokens(["where is the old oak"])
        expected = contrastive.unit_vectors(model, tokens).detach().numpy()
        assert np.sum(tuned.dense(tokens) * expected) > 0.98  # quantized
    assert (out / "sparse.onnx").read_bytes() == (SHIPPED / "sparse.onnx").read_bytes()

    held_out = BeirFolder(out / "held-out" / "toys")
    assert len(held_out.qrels("train")) == len(held_out.queries()) == figures.queries == 3
    assert json.loads((out / "held-out" / "toys" / "figures.json").read_text())["after"] == figures.after


def test_keeping_all_of_the_start_changes_nothing(folder: Path, start: Path, tmp_path: Path) -> None:
    figures = tune(task(folder, start, tmp_path / "kept"), replace(RECIPE, epochs=1, keep=1.0))["toys"]

    assert figures.before == figures.after


def test_minutes_end_a_run_before_its_steps(folder: Path, start: Path, encoders: Encoders, tmp_path: Path) -> None:
    model = BertModel.from_pretrained(start)
    run = Run(model, encoders, [examples(folder)], replace(RECIPE, minutes=1e-6), tmp_path / "checkpoint.pt")
    run.train()

    assert run.step == 1


def test_command_tells_how_to_use_the_result(
    folder: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    out = tmp_path / "tuned"
    main([str(folder), "--out", str(out), "--start", str(start), "--minutes", "0.001"])

    printed = capsys.readouterr().out
    assert "toys: nDCG@10 of 3 held-out queries" in printed
    assert f"export ONEPASS_EMBEDDER__FOLDER={out}\nonepass index build {folder} --name toys\n" in printed
    assert f"training.evidence data/indexes/toys={out}/held-out/toys --encoders {out}" in printed


def test_wrong_arguments_are_told(
    folder: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    copied = shutil.copytree(folder, tmp_path / "other" / "toys")
    out = ["--out", str(tmp_path / "out"), "--start", str(start)]
    for arguments, message in (
        ([str(folder), *out, "--keep", "2"], "--keep must be from 0 to 1"),
        ([str(folder), str(copied), *out], "two folders have the same name: toys, toys"),
        ([str(folder), "--out", str(SHIPPED), "--start", str(start)], "name another folder"),
        ([str(tmp_path), *out], "corpus.jsonl: not found"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert message in capsys.readouterr().err
