"""How an index lies in Milvus: one collection for each version, one entity for each passage.

| field | what it holds |
|---|---|
| `row` | the document's number, the primary key: numbers need no quoting, as ids would |
| `id` | the document's id |
| `title`, `passage` | the title; the title, a line break and the text, which is what Milvus's BM25 reads |
| `metadata` | the document's |
| `tokens` | the reranker's token ids as ``pack_tokens`` writes them, in base64; empty if there are none |
| `dense` | the embedder's vector of the passage's first piece: Milvus keeps one vector an entity |
| `sparse` | the embedder's learned sparse vector, where it gives one |
| `lexical` | what Milvus makes of `passage` for BM25 |

Fields of vectors are named as the modes that search them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from pymilvus import AsyncMilvusClient, CollectionSchema, DataType, Function, FunctionType
from pymilvus.milvus_client.index import IndexParams

from service.domain import Document, RetrievalMode, TokenIds
from service.errors import InvalidInput
from service.retrieval.builder import Batch
from service.retrieval.document_store import pack_tokens, unpack_tokens
from service.retrieval.embedding.embedder import Embedder, SparseVector

METRICS = {RetrievalMode.DENSE: "IP", RetrievalMode.SPARSE: "IP", RetrievalMode.LEXICAL: "BM25"}
ROW = "row"
STORED = ["id", "title", "passage", "metadata", "tokens"]

_NOTHING = {0: 1e-30}
"""A sparse vector without terms, which Milvus does not take: a weight that changes no score."""

_LONGEST_BYTES = 65_535
"""Of a VARCHAR or JSON field in Milvus."""

_NAME_CHARS = 200

_ANALYZER = {
    "tokenizer": "standard",
    "filter": ["lowercase", "asciifolding", {"type": "stemmer", "language": "english"}],
}
"""Words stemmed and stripped of accents, as in local full-text indexes. Milvus Lite leaves the filters out."""


def collection_name(index: str, version: str) -> str:
    """The collection of a version, whose folder's name is unique: ``onepass_wiki_20261121T093000_5f0c01bc``."""
    return re.sub(r"\W", "_", f"onepass_{index[:_NAME_CHARS]}_{version}", flags=re.ASCII)


def vector_fields(embedder: Embedder) -> list[RetrievalMode]:
    """The modes that a collection of this embedder's vectors can be searched by, each the name of a field."""
    return [mode for mode in METRICS if embedder.sparse or mode is not RetrievalMode.SPARSE]


def schema(embedder: Embedder) -> CollectionSchema:
    """The fields of a collection."""
    made = AsyncMilvusClient.create_schema(enable_dynamic_field=False)
    made.add_field(ROW, DataType.INT64, is_primary=True)
    made.add_field("id", DataType.VARCHAR, max_length=_LONGEST_BYTES)
    made.add_field("title", DataType.VARCHAR, max_length=_LONGEST_BYTES)
    analysed = {"enable_analyzer": True, "analyzer_params": _ANALYZER}
    made.add_field("passage", DataType.VARCHAR, max_length=_LONGEST_BYTES, **analysed)
    made.add_field("metadata", DataType.JSON)
    made.add_field("tokens", DataType.VARCHAR, max_length=_LONGEST_BYTES)
    for mode in vector_fields(embedder):
        if mode is RetrievalMode.DENSE:
            made.add_field(mode.value, DataType.FLOAT_VECTOR, dim=embedder.dimension)
        else:
            made.add_field(mode.value, DataType.SPARSE_FLOAT_VECTOR)
    made.add_function(Function("bm25", FunctionType.BM25, ["passage"], [RetrievalMode.LEXICAL.value]))
    return made


def index_params(embedder: Embedder) -> IndexParams:
    """Milvus chooses the kind of index of the dense vectors by itself."""
    params = AsyncMilvusClient.prepare_index_params()
    for mode in vector_fields(embedder):
        kind = "AUTOINDEX" if mode is RetrievalMode.DENSE else "SPARSE_INVERTED_INDEX"
        params.add_index(mode.value, index_type=kind, metric_type=METRICS[mode])
    return params


def entities(batch: Batch, first: int) -> list[dict[str, Any]]:
    """A batch from row ``first`` on, as Milvus takes it. Raises ``InvalidInput`` for a document too long for it."""
    made = [
        {ROW: row, **_entity(document, ids)}
        for row, (document, ids) in enumerate(zip(batch.documents, batch.tokens, strict=True), start=first)
    ]
    vectors = batch.vectors
    firsts = vectors.dense[vectors.pieces.cumsum() - vectors.pieces]
    for entity, vector in zip(made, firsts.tolist(), strict=True):
        entity[RetrievalMode.DENSE.value] = vector
    if vectors.sparse is not None:
        for place, entity in enumerate(made):
            entity[RetrievalMode.SPARSE.value] = weights_by_term(vectors.sparse.row(place)) or _NOTHING
    return made


def weights_by_term(vector: SparseVector) -> dict[int, float]:
    """A sparse vector as Milvus takes it."""
    terms, weights = vector
    return dict(zip(terms.tolist(), weights.tolist(), strict=True))


def document_of(entity: Mapping[str, Any]) -> tuple[Document, TokenIds | None]:
    """The inverse of ``entities`` for one of them."""
    title, tokens = entity["title"], entity["tokens"]
    document = Document(entity["id"], entity["passage"][len(title) + 1 :], title, entity["metadata"])
    return document, unpack_tokens(base64.b64decode(tokens)) if tokens else None


def _entity(document: Document, ids: TokenIds | None) -> dict[str, Any]:
    entity = {
        "id": document.id,
        "title": document.title,
        "passage": f"{document.title}\n{document.text}",
        "tokens": "" if ids is None else base64.b64encode(pack_tokens(ids)).decode(),
    }
    for name, value in entity.items():
        if len(value.encode()) > _LONGEST_BYTES:
            raise InvalidInput(
                f"the document {document.id[:80]!r} is too long for Milvus, which keeps {_LONGEST_BYTES} bytes: {name}",
                field="documents",
            )
    return {**entity, "metadata": dict(document.metadata)}
