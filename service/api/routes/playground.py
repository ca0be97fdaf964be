"""The page at ``/``: static files of this package, with a policy that keeps every request on this origin."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

_FOLDER = Path(__file__).parent.parent / "playground"
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def router() -> APIRouter:
    """The page and the files it asks for."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/", response_class=FileResponse)
    async def page() -> FileResponse:
        return _file("index.html", "text/html")

    @routes.get("/playground/style.css", response_class=FileResponse)
    async def style() -> FileResponse:
        return _file("style.css", "text/css")

    @routes.get("/playground/playground.js", response_class=FileResponse)
    async def script() -> FileResponse:
        return _file("playground.js", "text/javascript")

    @routes.get("/playground/icon.svg", response_class=FileResponse)
    async def icon() -> FileResponse:
        return _file("icon.svg", "image/svg+xml")

    return routes


def _file(name: str, media_type: str) -> FileResponse:
    return FileResponse(_FOLDER / name, media_type=media_type, headers=_HEADERS)
