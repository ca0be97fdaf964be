from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from service.deadline import Deadline
from service.domain import DegradedReason, Document, PassageTokens, RetrievalMode
from service.errors import (
    ConfigurationError,
    DeadlineExceeded,
    EmbedderError,
    IndexCorrupt,
    IndexIncompatible,
    IndexMissing,
    InvalidInput,
    RetrievalError,
)
from service.retrieval import index_store
from service.retrieval.builder import build_index
from service.retrieval.embedding.embedder import QueryVectors
from service.retrieval.embedding.static import StaticEmbedder
from service.retrieval.fusion import WEIGHTS, told_by
from service.retrieval.local_first_stage import LocalFirstStage, Options
from tests.retrieval.fruit import FRUIT, AxisEmbedder, LetterEncoder, ids

pytestmark = pytest.mark.anyio
NEVER = Deadline.never()
FILES = (index_store.VECTORS, index_store.DOCUMENTS, index_store.SPARSE)


class SlowEmbedder(AxisEmbedder):
    async def embed_query(self, text: str, deadline: Deadline) -> QueryVectors:
        await asyncio.sleep(min(5, deadline.remaining))
        deadline.check("embedding")
        return await super().embed_query(text, deadline)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    await build_index(tmp_path / "fruit", FRUIT, AxisEmbedder(), encoder=LetterEncoder())
    return tmp_path / "fruit"


@pytest.fixture
async def stage(folder: Path) -> AsyncIterator[LocalFirstStage]:
    stage = LocalFirstStage.open(folder, AxisEmbedder())
    yield stage
    await stage.close()


@pytest.mark.parametrize("mode", list(RetrievalMode))
async def test_every_mode_finds_the_nearest_first(stage: LocalFirstStage, mode: RetrievalMode) -> None:
    found = await stage.retrieve("a banana", 2, mode, NEVER)
    assert ids(found.candidates)[0] == "b"
    assert len(found.candidates) <= 2
    assert [candidate.rank for candidate in found.candidates] == list(range(1, len(found.candidates) + 1))
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True)
    assert found.degraded is None
    assert found.retrieve_ms > 0
    assert (found.embed_ms > 0) == (mode is not RetrievalMode.LEXICAL) or found.embed_ms < 1


async def test_candidates_carry_text_metadata_and_tokens(stage: LocalFirstStage) -> None:
    found = await stage.retrieve("apple", 1, RetrievalMode.DENSE, NEVER)
    candidate = found.candidates[0]
    assert candidate.document == FRUIT[0]
    assert isinstance(candidate.tokens, PassageTokens)
    assert candidate.tokens.encoding == "letters-1"
    assert candidate.tokens.ids.tolist() == [ord(c) for c in FRUIT[0].text]


async def test_without_stored_tokens_there_are_none(tmp_path: Path) -> None:
    await build_index(tmp_path / "plain", FRUIT, AxisEmbedder())
    stage = LocalFirstStage.open(tmp_path / "plain", AxisEmbedder(), name="other")
    found = await stage.retrieve("apple", 1, RetrievalMode.DENSE, NEVER)
    assert found.candidates[0].tokens is None
    assert stage.name == "other"
    await stage.close()


async def test_a_hybrid_holds_what_any_retriever_found(stage: LocalFirstStage) -> None:
    found = await stage.retrieve("yellow cherry", 4, RetrievalMode.HYBRID, NEVER)
    assert set(ids(found.candidates)[:2]) == {"b", "c"}
    assert len(set(ids(found.candidates))) == len(found.candidates) == 4
    assert [each.fused for each in found.candidates] == [
        told_by(each.score, [*WEIGHTS.values()]) for each in found.candidates
    ]


@pytest.mark.parametrize("mode", [RetrievalMode.DENSE, RetrievalMode.SPARSE, RetrievalMode.LEXICAL])
async def test_one_ranking_alone_is_not_fused(stage: LocalFirstStage, mode: RetrievalMode) -> None:
    found = await stage.retrieve("banana", 3, mode, NEVER)
    assert found.candidates
    assert not any(each.fused for each in found.candidates)


@pytest.mark.parametrize("mode", [RetrievalMode.DENSE, RetrievalMode.SPARSE, RetrievalMode.HYBRID])
async def test_every_candidate_comes_with_its_evidence(stage: LocalFirstStage, mode: RetrievalMode) -> None:
    query = await AxisEmbedder().embed_query("red cherry or apple", NEVER)
    passages = await AxisEmbedder().embed_passages(FRUIT, NEVER)
    found = await stage.retrieve("red cherry or apple", 4, mode, NEVER)
    assert found.vectors is not None
    assert found.vectors.shape == (len(found.candidates), 4)
    for candidate, vector in zip(found.candidates, found.vectors, strict=True):
        row = FRUIT.index(candidate.document)
        evidence = candidate.evidence
        assert evidence is not None
        assert evidence.encoders == "axes-1"
        assert evidence.dense == pytest.approx(float(passages.dense[row] @ query.dense), abs=1e-6)
        assert evidence.sparse == {"a": 2.0, "c": 2.0}.get(candidate.document.id, 0.0)  # in title and text
        assert vector.tolist() == passages.dense[row].tolist()


async def test_evidence_says_what_full_text_found(stage: LocalFirstStage) -> None:
    words = await stage.retrieve("a red cherry", 4, RetrievalMode.LEXICAL, NEVER)
    scores = {candidate.document.id: candidate.score for candidate in words.candidates}
    found = await stage.retrieve("a red cherry", 4, RetrievalMode.HYBRID, NEVER)
    told = {each.document.id: each.evidence.lexical for each in found.candidates if each.evidence}
    assert told == {name: scores.get(name, 0.0) for name in "abcd"}
    assert set(scores) == {"a", "c"}


async def test_without_the_query_s_vectors_there_is_no_evidence(folder: Path, stage: LocalFirstStage) -> None:
    broken = LocalFirstStage.open(folder, AxisEmbedder(broken=True))
    for found in (
        await stage.retrieve("cherry", 4, RetrievalMode.LEXICAL, NEVER),
        await broken.retrieve("cherry", 4, RetrievalMode.HYBRID, NEVER),
    ):
        assert [each.evidence for each in found.candidates] == [None]
        assert found.vectors is None
    await broken.close()


async def test_vectors_that_are_given_are_taken(stage: LocalFirstStage) -> None:
    vectors = await AxisEmbedder().embed_query("banana", NEVER)
    for mode in (RetrievalMode.DENSE, RetrievalMode.SPARSE, RetrievalMode.HYBRID):
        found = await stage.retrieve("?", 1, mode, NEVER, vectors=vectors)
        assert ids(found.candidates) == ["b"]


async def test_a_passage_is_as_near_as_its_nearest_piece(tmp_path: Path) -> None:
    long = Document("long", "apple\napple and banana\ncherry", "Fruit")
    await build_index(tmp_path, [*FRUIT, long], AxisEmbedder())
    stage = LocalFirstStage.open(tmp_path, AxisEmbedder())
    query = await AxisEmbedder().embed_query("apple banana", NEVER)
    found = await stage.retrieve("apple banana", 5, RetrievalMode.DENSE, NEVER)
    assert sorted(ids(found.candidates)) == ["a", "b", "c", "d", "long"]
    first = found.candidates[0]
    assert first.document == long
    assert first.evidence is not None
    assert first.evidence.dense == pytest.approx(1, abs=1e-5)
    assert found.vectors is not None
    assert found.vectors[0] == pytest.approx(query.dense, abs=1e-6)
    assert first.evidence.sparse == 3  # two apples and a banana
    await stage.close()


async def test_an_embedder_without_sparse_vectors_finds_by_the_other_two(tmp_path: Path) -> None:
    await build_index(tmp_path, FRUIT, AxisEmbedder(sparse=False))
    stage = LocalFirstStage.open(tmp_path, AxisEmbedder(sparse=False))
    await stage.warm()
    found = await stage.retrieve("yellow cherry", 4, RetrievalMode.HYBRID, NEVER)
    assert set(ids(found.candidates)[:2]) == {"b", "c"}
    assert [each.fused for each in found.candidates] == [told_by(each.score, (1.0, 1.0)) for each in found.candidates]
    assert {each.evidence.sparse for each in found.candidates if each.evidence} == {0.0}
    with pytest.raises(InvalidInput, match=r"dense-axes-1.* gives no sparse vectors") as refused:
        await stage.retrieve("yellow cherry", 4, RetrievalMode.SPARSE, NEVER)
    assert refused.value.field == "mode"
    await stage.close()


async def test_a_lexical_search_may_find_nothing(stage: LocalFirstStage) -> None:
    assert (await stage.retrieve("?!", 10, RetrievalMode.LEXICAL, NEVER)).candidates == ()


async def test_a_hybrid_goes_on_without_a_broken_embedder(folder: Path) -> None:
    stage = LocalFirstStage.open(folder, AxisEmbedder(broken=True))
    found = await stage.retrieve("banana", 3, RetrievalMode.HYBRID, NEVER)
    assert ids(found.candidates) == ["b"]
    assert found.degraded is DegradedReason.EMBEDDER
    for mode in (RetrievalMode.DENSE, RetrievalMode.SPARSE):
        with pytest.raises(EmbedderError):
            await stage.retrieve("banana", 3, mode, NEVER)
    await stage.close()


async def test_a_hybrid_does_not_wait_for_ever_for_its_vector(folder: Path) -> None:
    stage = LocalFirstStage.open(folder, SlowEmbedder())
    started = time.monotonic()
    found = await stage.retrieve("banana", 3, RetrievalMode.HYBRID, Deadline.after(0.4))
    assert 0.1 < time.monotonic() - started < 0.4
    assert ids(found.candidates) == ["b"]
    assert found.degraded is DegradedReason.EMBEDDER
    await stage.close()


async def test_the_deadline_is_an_error_of_its_own(stage: LocalFirstStage) -> None:
    for mode in RetrievalMode:
        with pytest.raises(DeadlineExceeded):
            await stage.retrieve("banana", 3, mode, Deadline.after(0))


async def test_a_long_full_text_search_ends_near_the_deadline(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(60)]
    documents = [Document(str(number), " ".join(words)) for number in range(10_000)]
    await build_index(tmp_path / "large", documents, AxisEmbedder())
    stage = LocalFirstStage.open(tmp_path / "large", AxisEmbedder(), options=Options(threads=1))
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await stage.retrieve(" ".join(words), 10, RetrievalMode.LEXICAL, Deadline.after(0.05))
    await stage.retrieve("unheard", 10, RetrievalMode.LEXICAL, Deadline.after(2))  # the only thread is free again
    assert time.monotonic() - started < 1
    await stage.close()


async def test_many_searches_at_once_agree(stage: LocalFirstStage) -> None:
    queries = ["apple", "banana", "cherry", "DictReader"] * 25
    found = await asyncio.gather(*(stage.retrieve(query, 1, RetrievalMode.HYBRID, NEVER) for query in queries))
    assert [ids(one.candidates)[0] for one in found] == ["a", "b", "c", "d"] * 25


async def test_an_open_index_survives_its_replacement(folder: Path, stage: LocalFirstStage) -> None:
    version = stage.version
    for documents in (FRUIT[:1], FRUIT[:2], FRUIT[:3]):  # the version that is open is removed on the way
        await build_index(folder, documents, AxisEmbedder())
    found = await stage.retrieve("banana", 4, RetrievalMode.HYBRID, NEVER)
    assert ids(found.candidates)[0] == "b"
    assert len(found.candidates) == 4
    assert stage.version == version
    replaced = LocalFirstStage.open(folder, AxisEmbedder())
    assert replaced.version != version
    assert replaced.manifest.documents == 3
    await replaced.close()


async def test_another_embedder_is_refused(folder: Path) -> None:
    with pytest.raises(IndexIncompatible, match="axes-1"):
        LocalFirstStage.open(folder, AxisEmbedder(version="2"))
    with pytest.raises(IndexIncompatible):
        LocalFirstStage.open(folder, StaticEmbedder())


async def test_a_missing_index_is_missing(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        LocalFirstStage.open(tmp_path / "nowhere", AxisEmbedder())


@pytest.mark.parametrize("name", FILES)
async def test_a_damaged_file_is_refused_with_and_without_checksums(folder: Path, name: str) -> None:
    path = index_store.current_version(folder) / name
    size = path.stat().st_size
    path.write_bytes(b"\x00" * size)
    with pytest.raises(IndexCorrupt, match="checksum"):
        LocalFirstStage.open(folder, AxisEmbedder())
    with pytest.raises(IndexCorrupt, match="is not a"):
        LocalFirstStage.open(folder, AxisEmbedder(), options=Options(checksums=False))
    path.write_bytes(b"\x00" * (size - 1))
    with pytest.raises(IndexCorrupt, match="bytes"):
        LocalFirstStage.open(folder, AxisEmbedder(), options=Options(checksums=False))


@pytest.mark.parametrize("odd_file", FILES)
async def test_files_that_do_not_belong_together_are_refused(folder: Path, tmp_path: Path, odd_file: str) -> None:
    await build_index(tmp_path / "fewer", FRUIT[:2], AxisEmbedder())
    whole, fewer = index_store.current_version(folder), index_store.current_version(tmp_path / "fewer")
    with index_store.locked(folder), index_store.new_version(folder) as mixed:
        for name in FILES:
            (mixed / name).write_bytes(((whole if name == odd_file else fewer) / name).read_bytes())
        promises = index_store.read_manifest(fewer)
        index_store.publish(folder, mixed, replace(promises, files=index_store.record_files(mixed)))
    with pytest.raises(IndexCorrupt, match="promises 2"):
        LocalFirstStage.open(folder, AxisEmbedder())


async def test_damage_that_shows_only_in_a_search_is_an_error_of_retrieval(folder: Path) -> None:
    version = index_store.current_version(folder)
    with closing(sqlite3.connect(version / index_store.DOCUMENTS, isolation_level=None)) as connection:
        connection.execute("DELETE FROM documents WHERE id = 'a'")
    manifest = replace(index_store.read_manifest(version), files=index_store.record_files(version))
    (version / index_store.MANIFEST).write_text(manifest.to_json())
    stage = LocalFirstStage.open(folder, AxisEmbedder())
    with pytest.raises(RetrievalError):
        await stage.retrieve("apple", 4, RetrievalMode.DENSE, NEVER)
    await stage.close()


async def test_a_gpu_that_is_not_there_is_a_matter_of_configuration(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="GPU"):
        LocalFirstStage.open(folder, AxisEmbedder(), options=Options(gpu=True))
