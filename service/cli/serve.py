"""``onepass serve``."""

from __future__ import annotations

from typing import Annotated

import typer
import uvicorn

from service.app import create_app
from service.cli.options import IndexesDir, Profile, settings_with


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="the settings'")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on.", show_default="the settings'")
    ] = None,
    indexes_dir: IndexesDir = None,
    profile: Profile = None,
) -> None:
    """Serve search and reranking over HTTP, with a page to try it at /."""
    settings = settings_with(indexes_dir=indexes_dir, profile=profile)
    uvicorn.run(
        create_app(settings),
        host=host or settings.server.host,
        port=settings.server.port if port is None else port,
        log_level=settings.logs.level,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.server.shutdown_grace_s),
    )
