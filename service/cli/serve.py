"""``onepass serve``."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer
import uvicorn

from service.api.arrival import bounded
from service.api.under_way import UnderWay
from service.app import create_app
from service.cli.draining import DrainingServer
from service.cli.options import IndexesDir, Profile, settings_with
from service.observability.logs import library_logs

STARTUP_FAILED = 3
"""Exit code when the port is taken, or a model server cannot be used."""


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
    under_way = UnderWay(settings.admission.requests)
    config = uvicorn.Config(
        create_app(settings, under_way),
        host=host or settings.server.host,
        port=settings.server.port if port is None else port,
        http=bounded(settings.limits),
        ws="none",
        log_config=library_logs(settings.logs.level, json_lines=settings.logs.json_lines),
        log_level=settings.logs.level,
        access_log=False,
        server_header=False,
        ssl_certfile=settings.server.tls_certificate,
        ssl_keyfile=settings.server.tls_key,
    )
    server = DrainingServer(config, under_way, settings.server)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise typer.Exit(STARTUP_FAILED)
