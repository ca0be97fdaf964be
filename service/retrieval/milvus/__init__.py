"""Indexes whose documents and vectors lie in a Milvus cluster, for corpora that outgrow one machine.

Its client is an extra: what imports the other modules does so when they are wanted, after ``require_client``.
"""

from __future__ import annotations

from importlib.util import find_spec

from service.errors import ConfigurationError


def require_client() -> None:
    """Raises ``ConfigurationError`` where Milvus's client is not installed."""
    if find_spec("pymilvus") is None:
        raise ConfigurationError("Milvus needs its client: pip install 'onepass[milvus]'")
