"""A real Milvus Lite behind its gRPC server on loopback: the client is the one that talks to a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from milvus_lite.adapter.grpc.server import start_server_in_thread
from milvus_lite.db import MilvusLite
from pymilvus import MilvusClient

from service.retrieval.milvus.options import MilvusOptions


@dataclass
class Lite:
    """A server over ``folder`` that can be stopped and started again on its port."""

    folder: Path
    port: int = 0
    server: grpc.Server | None = None
    database: MilvusLite | None = None

    @property
    def options(self) -> MilvusOptions:
        return MilvusOptions(f"http://127.0.0.1:{self.port}")

    def start(self) -> None:
        self.server, self.database, self.port = start_server_in_thread(str(self.folder), port=self.port)
        with self._client() as client:
            for name in client.list_collections():
                client.load_collection(name)  # a cluster does so by itself

    def stop(self) -> None:
        if self.server is not None and self.database is not None:
            self.server.stop(grace=None).wait()
            self.database.close()
            self.server = None

    def collections(self) -> list[str]:
        """What the server holds, seen past the service."""
        with self._client() as client:
            return list(client.list_collections())

    def drop(self, *names: str) -> None:
        with self._client() as client:
            for name in names:
                client.drop_collection(name)

    def _client(self) -> closing[MilvusClient]:
        return closing(MilvusClient(self.options.url, dedicated=True))


@contextmanager
def lite(folder: Path) -> Iterator[Lite]:
    server = Lite(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
