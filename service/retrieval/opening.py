"""Opens an index folder with the first stage that its manifest asks for."""

from __future__ import annotations

from pathlib import Path

from service.errors import ConfigurationError
from service.retrieval import index_store
from service.retrieval.embedding.embedder import Embedder
from service.retrieval.first_stage import IndexStage
from service.retrieval.local_first_stage import LocalFirstStage, Options
from service.retrieval.milvus import require_client


def open_stage(folder: Path, embedder: Embedder, options: Options) -> IndexStage:
    """A first stage over the current version of an index.

    Raises:
        IndexMissing, IndexCorrupt: as they say.
        IndexIncompatible: another format, or vectors of another embedder.
        ConfigurationError: a GPU is asked for that cannot be used; or the passages are in a Milvus that the options
            do not name, or whose client is missing.
    """
    manifest = index_store.read_manifest(index_store.current_version(folder))
    if manifest.collection is None:
        return LocalFirstStage.open(folder, embedder, options=options)
    if options.milvus is None:
        raise ConfigurationError(f"the passages of {folder.name} are in Milvus: set indexes.milvus_url")
    require_client()
    from service.retrieval.milvus.first_stage import MilvusFirstStage  # noqa: PLC0415  its client is an extra

    patience = options.hybrid_embed_timeout
    return MilvusFirstStage(folder.name, manifest, embedder, options.milvus, hybrid_embed_timeout=patience)
