"""Where Milvus is; apart from what needs its client, which not everybody has installed."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class MilvusOptions:
    """Where the server is, such as ``http://milvus:19530``, and the token it asks for."""

    url: str
    token: SecretStr | None = None

    @property
    def secret(self) -> str:
        """The token as the client takes it."""
        return self.token.get_secret_value() if self.token else ""
