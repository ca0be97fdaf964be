from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.corpus.beir import BeirFolder
from service.deadline import Deadline
from service.errors import InvalidInput
from service.house import build_embedder
from service.retrieval.embedding.builtin import StaticEmbedder
from service.settings import EmbedderSettings, Settings
from training.first_stage import __main__ as command
from training.first_stage import recall
from training.first_stage.batches import wanted_shares
from training.first_stage.fit import fit
from training.first_stage.gradient import divergence, softmax
from training.first_stage.lists import ScoredList, kept_lists, train_queries
from training.first_stage.recipe import Recipe
from training.first_stage.table import Cutter, Table
from training.static_embedder.files import save

pytestmark = pytest.mark.anyio

WORDS = ["bee", "honey", "hive", "moon", "tide", "sea", "yeast", "dough", "bread", "salt"]
PASSAGES = [" ".join(WORDS[(start + step) % len(WORDS)] for step in range(3)) for start in range(len(WORDS))]
QUERIES = [f"{word} {WORDS[(place + 5) % len(WORDS)]}" for place, word in enumerate(WORDS)]


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """An embedder whose ten pieces point anywhere."""
    chance = np.random.default_rng(1)
    vectors = chance.normal(size=(len(WORDS), 8)).astype(np.float32)
    query_weights, passage_weights = chance.uniform(0.5, 2, size=(2, len(WORDS))).astype(np.float32)
    save(WORDS, vectors, query_weights, passage_weights, tmp_path / "start")
    return tmp_path / "start"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of one set in the BEIR layout, and of one without judgements."""
    folder = tmp_path / "data" / "nature"
    (folder / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": f"d{place}", "text": text}) for place, text in enumerate(PASSAGES)]
    queries = [json.dumps({"_id": f"q{place}", "text": text}) for place, text in enumerate(QUERIES)]
    (folder / "corpus.jsonl").write_text("\n".join(corpus))
    (folder / "queries.jsonl").write_text("\n".join(queries))
    shutil.copytree(folder, tmp_path / "data" / "unjudged", ignore=shutil.ignore_patterns("qrels"))
    (folder / "qrels" / "train.tsv").write_text("".join(f"q{place}\td{place}\t1\n" for place in range(6)))
    (folder / "qrels" / "test.tsv").write_text("".join(f"q{place}\td{place}\t1\n" for place in range(6, 10)))
    return tmp_path / "data"


def lists_that_like(word: str) -> list[ScoredList]:
    """Lists of all passages: the reranker likes those with ``word``, whatever was asked."""
    logits = [4.0 if word in passage else 0.0 for passage in PASSAGES]
    return [ScoredList(query, PASSAGES, logits, [False] * len(PASSAGES)) for query in QUERIES * 2]


def run(monkeypatch: pytest.MonkeyPatch, start: Path, arguments: Sequence[object]) -> None:
    monkeypatch.setenv("ONEPASS_ENGINE__KIND", "fake")
    monkeypatch.setenv("ONEPASS_EMBEDDER__FOLDER", str(start))
    monkeypatch.setattr(sys, "argv", ["first_stage", *map(str, arguments)])


async def test_a_table_is_read_as_the_service_reads_it(start: Path) -> None:
    table, embedder = Table.load(start), StaticEmbedder(start)
    queries, passages = Cutter(table.pieces).bags(QUERIES, PASSAGES)
    asked = await embedder.embed_queries(QUERIES, Deadline.never())
    found = await embedder.embed_passages(PASSAGES, Deadline.never())
    loss, _ = divergence(table, queries, passages, softmax(asked @ found.T / 0.5), 0.5)
    assert loss == pytest.approx(0, abs=1e-6)


def test_what_was_not_moved_is_written_as_it_was(start: Path, tmp_path: Path) -> None:
    Table.load(start).save(tmp_path / "again")
    for name in ("vectors", "query_scales", "passage_scales"):
        before, after = (np.load(folder / f"{name}.npy") for folder in (start, tmp_path / "again"))
        np.testing.assert_allclose(after, before, rtol=1e-5)


@pytest.mark.parametrize("part", ["vectors", "query_weights", "passage_weights"])
def test_the_gradient_is_the_slope_of_the_loss(start: Path, part: str) -> None:
    table = Table.load(start)
    queries, passages = Cutter(table.pieces).bags(["bee moon", "salt"], PASSAGES[:4])
    wanted = softmax(np.array([[3, 0, 0, 1], [0, 1, 2, 0]], dtype=np.float32))
    _, gradient = divergence(table, queries, passages, wanted, 0.3)
    place = (3, 2) if part == "vectors" else (3,)
    slopes = []
    for step in (0.01, -0.01):
        moved = table.copy()
        getattr(moved, part)[place] += step
        slopes.append(divergence(moved, queries, passages, wanted, 0.3)[0])
    row = int(np.flatnonzero(queries.used == place[0])[0])
    assert getattr(gradient, part)[row, *place[1:]] == pytest.approx((slopes[0] - slopes[1]) / 0.02, rel=0.02)


def test_a_text_without_known_pieces_moves_nothing(start: Path) -> None:
    queries, passages = Cutter(WORDS).bags(["?", "bee"], ["", "honey"])
    _, gradient = divergence(Table.load(start), queries, passages, np.full((2, 2), 0.5, np.float32), 0.3)
    assert np.isfinite(gradient.vectors).all()


def test_judged_passages_take_their_share_of_the_mass() -> None:
    one = ScoredList("bee", ["a", "b", "c"], [0.0, 0.0, 0.0], [False, True, False])
    assert wanted_shares(one, Recipe(judged=0.4)).tolist() == pytest.approx([0.2, 0.6, 0.2])
    assert wanted_shares(ScoredList("bee", ["a"], [2.0], [False]), Recipe(judged=0.4)).tolist() == [1.0]


def test_held_out_lists_come_nearer_to_the_reranker(start: Path) -> None:
    held_out: list[float] = []
    table = fit(Table.load(start), [lists_that_like("moon")], Recipe(rate=0.05), lambda *seen: held_out.append(seen[2]))
    assert min(held_out) < held_out[0] / 2
    assert not np.array_equal(table.vectors, Table.load(start).vectors)


async def test_a_fit_that_helps_no_held_out_list_is_not_taken(start: Path) -> None:
    embedder, recipe = StaticEmbedder(start), Recipe(rate=0.05)
    asked = await embedder.embed_queries(QUERIES, Deadline.never())
    cosines = asked @ (await embedder.embed_passages(PASSAGES, Deadline.never())).T
    agreed = (cosines / recipe.temperature).tolist()
    lists = lists_that_like("moon")
    for place in range(0, len(lists), 10):
        lists[place] = replace(lists[place], logits=agreed[place % len(QUERIES)])
    table = Table.load(start)
    assert fit(table, [lists], recipe, lambda *_: None) is table


def test_the_same_seed_gives_the_same_table(start: Path) -> None:
    first, again, other = (
        fit(Table.load(start), [lists_that_like("moon")], Recipe(lists=4, seed=seed), lambda *_: None).vectors
        for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_only_train_queries_are_asked_and_any_where_nothing_is_judged(data: Path) -> None:
    assert set(train_queries(BeirFolder(data / "nature"), 100, 0)) == {f"q{place}" for place in range(6)}
    assert len(train_queries(BeirFolder(data / "unjudged"), 100, 0)) == len(QUERIES)
    (data / "nature" / "qrels" / "train.tsv").unlink()
    with pytest.raises(InvalidInput, match="train"):
        train_queries(BeirFolder(data / "nature"), 100, 0)


def test_lists_are_read_once_and_the_service_serves_what_comes_of_them(
    data: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    asked: list[object] = [
        "--data",
        data,
        "--sets",
        "nature",
        f"unjudged={data / 'nature'}",
        "--work",
        work,
        "--out",
        out,
    ]
    run(monkeypatch, start, [*asked, "--queries", "4"])
    command.main()
    first = (work / "nature@nature.jsonl").read_text()
    run(monkeypatch, start, asked)
    command.main()

    assert (work / "nature@nature.jsonl").read_text().startswith(first)
    lists = kept_lists(work / "nature@nature.jsonl")
    assert [len(one.passages) for one in lists] == [10] * 6
    assert any(any(one.judged) for one in lists)
    assert len(kept_lists(work / "unjudged@nature.jsonl")) == 10
    served = build_embedder(Settings(embedder=EmbedderSettings(folder=out)))
    assert served.id == StaticEmbedder(out).id


def test_recall_before_and_after_is_measured_once(
    data: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, after = tmp_path / "kept.jsonl", tmp_path / "after"
    table = Table.load(start)
    table.vectors[0] *= -1
    table.save(after)
    arguments = ["--data", data, "--sets", "nature", "--before", start, "--after", after, "--kept", kept]
    for _ in range(2):
        run(monkeypatch, start, arguments)
        recall.main()
    assert len(kept.read_text().splitlines()) == 4
    assert "| nature | 4 | 1.000 | 1.000 | 1.000 | 1.000 |" in capsys.readouterr().out


def test_recall_counts_what_stands_among_the_first() -> None:
    cells = [
        recall.Cell("s", "old", "dense", [0.5, 0.25, 0.5, 0.0, 0.5, 0.5]),
        recall.Cell("s", "new", "dense", [1.0, 0.75, 1.0, 0.5, 1.0, 1.0]),
        recall.Cell("s", "old", "hybrid", [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]),
        recall.Cell("s", "new", "hybrid", [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]),
    ]
    assert "| s | 6 | 0.375 | 0.875* | 0.500 | 0.500 |" in recall.table(cells, ["s"], "old", "new")
