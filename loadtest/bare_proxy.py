"""The least that FastAPI and httpx can do between a caller and a model server: pass one prepared request on.

python -m loadtest.bare_proxy --prepared request.json --to http://127.0.0.1:8101/v1/completions --port 8200
"""

from __future__ import annotations

import argparse
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """What callers send; it is parsed and forgotten."""

    query: str
    documents: list[str]


def application(prepared: bytes, to: str) -> FastAPI:
    """An application that answers every request with what ``to`` answers to ``prepared``."""
    client = httpx.AsyncClient(trust_env=False)
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.post("/v1/rerank")
    async def rerank(_body: Body) -> object:
        response = await client.post(to, content=prepared, headers={"Content-Type": "application/json"})
        return response.json()

    return app


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    app = application(options.prepared.read_bytes(), options.to)
    uvicorn.run(app, port=options.port, log_level="warning", access_log=False, server_header=False)


if __name__ == "__main__":
    main()
