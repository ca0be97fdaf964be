"""What changes the service while it runs, for who has the admin key."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from service.api.declared import errors_of
from service.api.schemas.operations import IndexBody


def router(key: SecretStr, reload: Callable[[str], Awaitable[IndexBody]]) -> APIRouter:
    """The endpoints; ``reload`` opens the current version of an index by its name and serves it."""
    routes = APIRouter(tags=["admin"], dependencies=[Depends(_bearer(key))])

    @routes.post(
        "/v1/indexes/{name}:reload",
        summary="Serve the current version of an index now",
        responses=errors_of("", 401, 404, 408, 413, 422, 429, 500, 503),
    )
    async def reload_index(name: str) -> IndexBody:
        """Answers when the new version is served; one that is broken is an error, and the version before stays."""
        return await reload(name)

    return routes


def _bearer(key: SecretStr) -> Callable[..., None]:
    """A check that a request brings the key. Raises 401, after the same time whatever was wrong with it."""
    expected = key.get_secret_value().encode()

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]) -> None:
        brought = b"" if given is None else given.credentials.encode()
        if not hmac.compare_digest(brought, expected):
            headers = {"WWW-Authenticate": "Bearer"}
            raise HTTPException(HTTPStatus.UNAUTHORIZED, "the admin key is missing or wrong", headers)

    return check
