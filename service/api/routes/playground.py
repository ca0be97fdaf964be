"""The page at ``/``: static files of this package, with a policy that keeps every request on this origin."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

_FOLDER = Path(__file__).parent.parent / "playground"
_PAGE = "index.html"
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_FILES = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.suffix in _MEDIA_TYPES}
"""By name; a few kilobytes each, so that no request waits for the disk, nor looks for a path there."""

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",  # text of a passage can nowhere become markup
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",  # files of different versions do not fit each other
}


def router() -> APIRouter:
    """The page and the files it asks for."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/", response_class=Response)
    async def page() -> Response:
        return _response(_PAGE)

    @routes.get("/playground/{name}", response_class=Response)
    async def file(name: str) -> Response:
        if name not in _FILES:
            raise HTTPException(404)
        return _response(name)

    return routes


def _response(name: str) -> Response:
    return Response(_FILES[name], media_type=_MEDIA_TYPES[Path(name).suffix], headers=_HEADERS)
