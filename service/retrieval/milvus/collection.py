"""How an index lies in Milvus: one collection for each version, one entity for each passage.

| field | what it holds |
|---|---|
| `id` | the document's id, the primary key |
| `title`, `passage` | the title; the title, a line break and the text, which is what Milvus's BM25 reads |
| `metadata` | the document's |
| `tokens` | the reranker's token ids as ``pack_tokens`` writes them, in base64; empty if there are none |
| `dense`, `sparse` | the embedder's vector; what Milvus makes of `passage` for BM25 |
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from pymilvus import AsyncMilvusClient, CollectionSchema, DataType, Function, FunctionType
from pymilvus.milvus_client.index import IndexParams

from service.domain import Document, TokenIds
from service.errors import InvalidInput
from service.retrieval.builder import Batch
from service.retrieval.document_store import pack_tokens, unpack_tokens

DENSE, SPARSE = "dense", "sparse"
DENSE_METRIC, SPARSE_METRIC = "IP", "BM25"
STORED = ["id", "title", "passage", "metadata", "tokens"]

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


def schema(dimension: int) -> CollectionSchema:
    """The fields of a collection."""
    made = AsyncMilvusClient.create_schema(enable_dynamic_field=False)
    made.add_field("id", DataType.VARCHAR, is_primary=True, max_length=_LONGEST_BYTES)
    made.add_field("title", DataType.VARCHAR, max_length=_LONGEST_BYTES)
    analysed = {"enable_analyzer": True, "analyzer_params": _ANALYZER}
    made.add_field("passage", DataType.VARCHAR, max_length=_LONGEST_BYTES, **analysed)
    made.add_field("metadata", DataType.JSON)
    made.add_field("tokens", DataType.VARCHAR, max_length=_LONGEST_BYTES)
    made.add_field(DENSE, DataType.FLOAT_VECTOR, dim=dimension)
    made.add_field(SPARSE, DataType.SPARSE_FLOAT_VECTOR)
    made.add_function(Function("bm25", FunctionType.BM25, ["passage"], [SPARSE]))
    return made


def index_params() -> IndexParams:
    """Milvus chooses the kind of index of the vectors by itself."""
    params = AsyncMilvusClient.prepare_index_params()
    params.add_index(DENSE, index_type="AUTOINDEX", metric_type=DENSE_METRIC)
    params.add_index(SPARSE, index_type="SPARSE_INVERTED_INDEX", metric_type=SPARSE_METRIC)
    return params


def entities(batch: Batch) -> list[dict[str, Any]]:
    """A batch as Milvus takes it. Raises ``InvalidInput`` for a document that is too long for it."""
    rows = zip(batch.documents, batch.tokens, batch.vectors, strict=True)
    return [_entity(document, ids) | {DENSE: vector.tolist()} for document, ids, vector in rows]


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
