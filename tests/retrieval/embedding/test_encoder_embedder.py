from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from service.deadline import Deadline
from service.domain import Document
from service.encoders.encoders import Encoders
from service.errors import DeadlineExceeded
from service.house import build_embedder
from service.retrieval.embedding.encoder_embedder import EncoderEmbedder
from service.retrieval.embedding.pieces import pieces
from service.settings import Settings

pytestmark = pytest.mark.anyio
NEVER = Deadline.never()
SHORT = Document("a", "A kitten meows and purrs.", "Cats")
LONG = Document("b", "The ship left the harbour. " * 60 + "A volcano erupted near the glacier. " * 40, "Diary")
EMPTY = Document("c", "")


@pytest.fixture
async def encoders() -> Encoders:
    return Encoders()


@pytest.fixture
async def embedder(encoders: Encoders) -> AsyncIterator[EncoderEmbedder]:
    embedder = EncoderEmbedder(encoders)
    yield embedder
    await embedder.close()


async def test_a_query_is_read_by_both_encoders(embedder: EncoderEmbedder, encoders: Encoders) -> None:
    vectors, read = await embedder.embed_query("how do cats sound", NEVER), encoders.query("how do cats sound")
    assert vectors.dense.tolist() == read.dense.tolist()
    assert np.linalg.norm(vectors.dense) == pytest.approx(1, abs=1e-3)
    assert vectors.sparse is not None
    assert (vectors.sparse[0].tolist(), vectors.sparse[1].tolist()) == (read.terms.tolist(), read.weights.tolist())


async def test_a_short_passage_is_one_piece_read_as_a_request_reads_it(
    embedder: EncoderEmbedder, encoders: Encoders
) -> None:
    vectors = await embedder.embed_passages([SHORT], NEVER)
    (ids,) = encoders.tokens(["Cats A kitten meows and purrs."])
    terms, weights = encoders.sparse([ids]).row(0)
    assert vectors.pieces.tolist() == [1]
    assert vectors.dense[0].tolist() == encoders.dense_one(ids).tolist()
    assert vectors.sparse is not None
    assert (vectors.sparse.terms.tolist(), vectors.sparse.weights.tolist()) == (terms.tolist(), weights.tolist())


async def test_a_long_passage_has_a_dense_vector_a_piece_and_the_greatest_weight_of_each_term(
    embedder: EncoderEmbedder, encoders: Encoders
) -> None:
    vectors = await embedder.embed_passages([SHORT, LONG, EMPTY], NEVER)
    (cut,) = pieces(encoders, [LONG])
    assert vectors.pieces.tolist() == [1, len(cut), 1]
    assert len(cut) > 2
    assert vectors.dense.shape == (len(cut) + 2, embedder.dimension)
    assert vectors.dense[1:-1].tolist() == encoders.dense(cut).tolist()
    table = np.zeros((len(cut), encoders.vocabulary), np.float32)
    for row, ids in enumerate(cut):
        terms, weights = encoders.sparse([ids]).row(0)
        table[row, terms] = weights
    assert vectors.sparse is not None
    terms, weights = vectors.sparse.row(1)
    assert terms.tolist() == np.flatnonzero(table.max(axis=0)).tolist()
    assert weights.tolist() == table.max(axis=0)[terms].tolist()


async def test_vectors_do_not_depend_on_the_company(embedder: EncoderEmbedder) -> None:
    together = (await embedder.embed_passages([SHORT, LONG, EMPTY], NEVER)).each()
    for document, vectors in zip([SHORT, LONG, EMPTY], together, strict=True):
        alone = await embedder.embed_passages([document], NEVER)
        assert alone.dense.tolist() == vectors.dense.tolist()
        assert alone.sparse is not None
        assert vectors.sparse is not None
        assert alone.sparse.weights.tolist() == vectors.sparse.weights.tolist()


async def test_the_deadline_is_kept(embedder: EncoderEmbedder) -> None:
    with pytest.raises(DeadlineExceeded):
        await embedder.embed_query("late", Deadline.after(0))
    with pytest.raises(DeadlineExceeded):
        await embedder.embed_query("not quite late", Deadline.after(1e-4))
    with pytest.raises(DeadlineExceeded):
        await embedder.embed_passages([SHORT], Deadline.after(0))


async def test_it_is_the_default_and_can_share_its_encoders(encoders: Encoders) -> None:
    shared = build_embedder(Settings(), encoders)
    assert (shared.id, shared.dimension, shared.sparse) == (encoders.id, encoders.dimension, True)
    await shared.close()
    with pytest.raises(RuntimeError):
        encoders.dense(encoders.tokens(["one", "two"]))
    own = build_embedder(Settings())
    assert own.id == encoders.id
    await own.close()
