"""``onepass openapi``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from service import api_reference
from service.app import openapi_document
from service.cli.console import OUT


def openapi(*, markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/api.md.")] = False) -> None:
    """Print the OpenAPI document of every endpoint, those for administrators too."""
    document = openapi_document()
    text = api_reference.markdown(document) if markdown else json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    OUT.print(text, end="", markup=False, highlight=False, soft_wrap=True)
