"""Who asks: plain ASGI middleware that knows callers by their API keys, and what routes ask about them."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.allowances import Allowances
from service.api.errors import response_to
from service.api.keys import Grant, KeyRing
from service.api.requests import tenant_of
from service.errors import Forbidden, RequestError, Unauthenticated

_OPEN = {"/", "/livez", "/readyz", "/health", "/metrics", "/openapi.json"}
_OPEN_FOLDER = "/playground/"
_ADMIN = ":reload"
"""How the paths end that ask for the admin key themselves."""


class Authentication:
    """Lets a request through whose key is known, within what the key allows, before its body is read.

    Probes, metrics, the page and the API's description need no key; endpoints for administrators have one of their own.
    """

    def __init__(self, app: ASGIApp, *, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys
        self._allowances = Allowances()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 401 or 429."""
        if scope["type"] != "http" or _needs_no_key(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            grant = self._grant(Headers(scope=scope))
            self._allowances.begin(grant)
        except RequestError as error:
            await response_to(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["grant"] = grant
        await self._serve(grant, scope, receive, send)

    async def _serve(self, grant: Grant, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that has begun to count, until its answer is on its way."""
        counts = True

        def end() -> None:
            nonlocal counts
            if counts:
                counts = False
                self._allowances.end(grant)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                end()  # before the client can ask again, which would be one too many
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            end()

    def _grant(self, headers: Headers) -> Grant:
        key = presented(headers)
        if key is None:
            raise Unauthenticated("give an API key, as in Authorization: Bearer …", field="Authorization")
        grant = self._keys.find(key)
        if grant is None:
            raise Unauthenticated("this API key is not known", field="Authorization")
        return grant


def _needs_no_key(path: str) -> bool:
    return path in _OPEN or path.startswith(_OPEN_FOLDER) or path.endswith(_ADMIN)


def presented(headers: Mapping[str, str]) -> str | None:
    """The key that a request carries: after ``Bearer``, alone in ``Authorization``, or in ``X-API-Key``."""
    authorization = headers.get("authorization", "").strip()
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if authorization and not token:
        return authorization
    return headers.get("x-api-key")


def grant_of(request: Request) -> Grant | None:
    """What the caller may do, where keys are asked for."""
    grant: Grant | None = getattr(request.state, "grant", None)
    return grant


def asking_tenant(request: Request, header: str | None) -> str | None:
    """On whose behalf a request asks: its key's tenant, or without keys the one that a trusted ``header`` names.

    Raises:
        InvalidInput: the header names nobody.
    """
    grant = grant_of(request)
    return tenant_of(request.headers, header) if grant is None else grant.tenant


def check_index(request: Request, index: str | None) -> None:
    """Hold the caller to the indexes that its key allows.

    Raises:
        Forbidden: not this one.
    """
    grant = grant_of(request)
    if grant is not None and not grant.allows(index):
        raise Forbidden(f"this API key does not allow the index {index}", field="index")
