from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr
from pymilvus import MilvusException

from service.deadline import Deadline
from service.domain import DegradedReason, Document, PassageTokens, RetrievalMode
from service.errors import DeadlineExceeded, EmbedderError, IndexIncompatible, InvalidInput, RetrievalError
from service.retrieval import index_store
from service.retrieval.builder import Recipe, build_index
from service.retrieval.fusion import WEIGHTS, reciprocal_rank_fusion, told_by
from service.retrieval.local_first_stage import LocalFirstStage
from service.retrieval.milvus.builder import build_in_milvus
from service.retrieval.milvus.first_stage import MilvusFirstStage
from service.retrieval.milvus.options import MilvusOptions
from service.retrieval.milvus.server import failure
from tests.retrieval.fruit import FRUIT, AxisEmbedder, LetterEncoder, ids
from tests.retrieval.milvus.lite import Lite

pytestmark = pytest.mark.anyio
NEVER = Deadline.never()
QUERY = "small red cherry"


@pytest.fixture(scope="module")
async def folder(server: Lite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return await built(server, tmp_path_factory.mktemp("indexes"))


@pytest.fixture
async def stage(server: Lite, folder: Path) -> AsyncIterator[MilvusFirstStage]:
    stage = opened(folder, server.options)
    yield stage
    await stage.close()


async def built(server: Lite, directory: Path) -> Path:
    await build_in_milvus(server.options, directory / "fruit", FRUIT, Recipe(AxisEmbedder(), LetterEncoder()))
    return directory / "fruit"


async def opened_on(
    server: Lite, directory: Path, documents: Sequence[Document], embedder: AxisEmbedder
) -> MilvusFirstStage:
    """A stage over a collection of its own."""
    folder = directory / "other"
    await build_in_milvus(server.options, folder, documents, Recipe(embedder))
    return opened(folder, server.options, embedder)


def opened(folder: Path, options: MilvusOptions, embedder: AxisEmbedder | None = None) -> MilvusFirstStage:
    manifest = index_store.read_manifest(index_store.current_version(folder))
    return MilvusFirstStage(folder.name, manifest, embedder or AxisEmbedder(), options, hybrid_embed_timeout=1.0)


@pytest.mark.parametrize("mode", list(RetrievalMode))
async def test_every_mode_finds_the_nearest_first(stage: MilvusFirstStage, mode: RetrievalMode) -> None:
    found = await stage.retrieve("a banana", 2, mode, NEVER)
    assert ids(found.candidates)[0] == "b"
    assert [candidate.rank for candidate in found.candidates] == [1, 2][: len(found.candidates)]
    assert found.degraded is None
    assert found.version == stage.version
    assert found.retrieve_ms > 0


async def test_candidates_carry_text_metadata_and_tokens(stage: MilvusFirstStage) -> None:
    found = await stage.retrieve("apple", 4, RetrievalMode.DENSE, NEVER)
    assert sorted((candidate.document for candidate in found.candidates), key=lambda each: each.id) == list(FRUIT)
    tokens = found.candidates[0].tokens
    assert isinstance(tokens, PassageTokens)
    assert tokens.encoding == "letters-1"
    assert tokens.ids.tolist() == [ord(c) for c in FRUIT[0].text]


async def test_a_hybrid_is_fused_as_with_local_files(stage: MilvusFirstStage) -> None:
    parts = [await stage.retrieve(QUERY, 4, mode, NEVER) for mode in WEIGHTS]
    assert not any(each.fused for part in parts for each in part.candidates)
    names = [ids(part.candidates) for part in parts]
    rankings = [["abcd".index(name) for name in part] for part in names]
    by_hand = dict(reciprocal_rank_fusion(rankings, [*WEIGHTS.values()]))

    found = await stage.retrieve(QUERY, 4, RetrievalMode.HYBRID, NEVER)

    assert {each.document.id: each.score for each in found.candidates} == pytest.approx(
        {"abcd"[row]: score for row, score in by_hand.items()}, rel=1e-5
    )
    assert [each.fused for each in found.candidates] == [
        told_by(each.score, [*WEIGHTS.values()]) for each in found.candidates
    ]


@pytest.mark.parametrize("mode", [RetrievalMode.DENSE, RetrievalMode.SPARSE, RetrievalMode.HYBRID])
async def test_every_candidate_comes_with_the_evidence_that_local_files_give(
    stage: MilvusFirstStage, tmp_path: Path, mode: RetrievalMode
) -> None:
    await build_index(tmp_path, FRUIT, AxisEmbedder())
    local = LocalFirstStage.open(tmp_path, AxisEmbedder())
    here = {each.document.id: each.evidence for each in (await local.retrieve(QUERY, 4, mode, NEVER)).candidates}
    await local.close()
    found = await stage.retrieve(QUERY, 4, mode, NEVER)
    assert found.vectors is not None
    assert found.vectors.shape == (len(found.candidates), 4)
    for candidate in found.candidates:
        evidence, same = candidate.evidence, here[candidate.document.id]
        assert evidence is not None
        assert same is not None
        assert evidence.encoders == same.encoders
        assert (evidence.dense, evidence.sparse) == pytest.approx((same.dense, same.sparse), abs=1e-5)


async def test_evidence_is_of_the_first_piece_alone(server: Lite, tmp_path: Path) -> None:
    long = Document("long", "apple\ncherry", "An")
    stage = await opened_on(server, tmp_path, [long], AxisEmbedder())
    (candidate,) = (await stage.retrieve("cherry", 1, RetrievalMode.DENSE, NEVER)).candidates
    assert candidate.evidence is not None
    assert candidate.evidence.dense < 0.1
    assert candidate.evidence.sparse == 1
    await stage.close()


async def test_an_embedder_without_sparse_vectors_finds_by_the_other_two(server: Lite, tmp_path: Path) -> None:
    stage = await opened_on(server, tmp_path, FRUIT, AxisEmbedder(sparse=False))
    await stage.warm()
    found = await stage.retrieve("a banana", 2, RetrievalMode.HYBRID, NEVER)
    assert ids(found.candidates)[0] == "b"
    assert [each.fused for each in found.candidates] == [told_by(each.score, (1.0, 1.0)) for each in found.candidates]
    with pytest.raises(InvalidInput, match="no sparse vectors"):
        await stage.retrieve("a banana", 2, RetrievalMode.SPARSE, NEVER)
    await stage.close()


async def test_passages_and_queries_without_terms_are_no_trouble(server: Lite, tmp_path: Path) -> None:
    odd = [Document('quote " and \\ back', "nothing of note"), Document("line\nbreak", "an apple"), *FRUIT]
    stage = await opened_on(server, tmp_path, odd, AxisEmbedder())
    assert (await stage.retrieve("nothing", 3, RetrievalMode.SPARSE, NEVER)).candidates == ()
    found = await stage.retrieve("nothing", 9, RetrievalMode.HYBRID, NEVER)
    assert sorted(ids(found.candidates)) == sorted(document.id for document in odd)
    assert {each.evidence.sparse for each in found.candidates if each.evidence} == {0.0}
    assert ids((await stage.retrieve("apple", 9, RetrievalMode.SPARSE, NEVER)).candidates)[0] == "a"
    await stage.close()


async def test_a_lexical_search_may_find_nothing(stage: MilvusFirstStage) -> None:
    assert (await stage.retrieve("?!", 10, RetrievalMode.LEXICAL, NEVER)).candidates == ()


async def test_a_hybrid_goes_on_without_a_broken_embedder(server: Lite, folder: Path) -> None:
    stage = opened(folder, server.options, AxisEmbedder(broken=True))
    found = await stage.retrieve("banana", 3, RetrievalMode.HYBRID, NEVER)
    assert ids(found.candidates) == ["b"]
    assert found.degraded is DegradedReason.EMBEDDER
    with pytest.raises(EmbedderError):
        await stage.retrieve("banana", 3, RetrievalMode.DENSE, NEVER)
    await stage.close()


async def test_the_deadline_is_an_error_of_its_own(stage: MilvusFirstStage) -> None:
    for mode in RetrievalMode:
        with pytest.raises(DeadlineExceeded):
            await stage.retrieve("banana", 3, mode, Deadline.after(0))


async def test_many_searches_at_once_agree(stage: MilvusFirstStage) -> None:
    queries = ["apple", "banana", "cherry", "DictReader"] * 10
    found = await asyncio.gather(*(stage.retrieve(query, 1, RetrievalMode.HYBRID, NEVER) for query in queries))
    assert [ids(one.candidates)[0] for one in found] == ["a", "b", "c", "d"] * 10


async def test_a_server_that_is_away_is_an_error_at_once_and_then_found_again(own_server: Lite, tmp_path: Path) -> None:
    stage = opened(await built(own_server, tmp_path), own_server.options)
    await stage.retrieve("banana", 1, RetrievalMode.DENSE, NEVER)
    own_server.stop()
    for _ in range(3):
        with pytest.raises(RetrievalError, match="Milvus at"):
            await stage.retrieve("banana", 1, RetrievalMode.DENSE, Deadline.after(60))
    own_server.start()
    found = None
    while found is None:
        with suppress(RetrievalError):  # gRPC waits a moment before it connects anew
            found = await stage.retrieve("banana", 1, RetrievalMode.DENSE, NEVER)
        await asyncio.sleep(0.05)
    assert ids(found.candidates) == ["b"]
    await stage.close()


async def test_an_index_can_be_opened_before_its_server_is_there(own_server: Lite, tmp_path: Path) -> None:
    folder = await built(own_server, tmp_path)
    own_server.stop()
    stage = opened(folder, own_server.options)
    with pytest.raises(RetrievalError):
        await stage.warm()
    own_server.start()
    await stage.warm()
    await stage.close()


async def test_a_server_that_accepts_and_never_answers_costs_a_second_or_the_deadline(folder: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        stage = opened(folder, MilvusOptions(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        with pytest.raises(DeadlineExceeded):
            await stage.retrieve("banana", 1, RetrievalMode.DENSE, Deadline.after(0.2))
        with pytest.raises(RetrievalError):
            await stage.retrieve("banana", 1, RetrievalMode.DENSE, Deadline.after(60))
        await stage.close()


async def test_a_collection_that_is_gone_is_an_error_of_retrieval(own_server: Lite, tmp_path: Path) -> None:
    stage = opened(await built(own_server, tmp_path), own_server.options)
    own_server.drop(*own_server.collections())
    with pytest.raises(RetrievalError, match="does not exist"):
        await stage.retrieve("banana", 1, RetrievalMode.HYBRID, NEVER)
    await stage.close()


def test_a_token_that_the_server_repeats_is_not_shown() -> None:
    options = MilvusOptions("http://milvus:19530", SecretStr("root:secret"))
    told = failure(options, MilvusException(message="no such token: root:secret"))
    assert "no such token: ***" in told
    assert "secret" not in told


async def test_another_embedder_is_refused(server: Lite, folder: Path) -> None:
    with pytest.raises(IndexIncompatible, match="axes-1"):
        opened(folder, server.options, AxisEmbedder(version="2"))
