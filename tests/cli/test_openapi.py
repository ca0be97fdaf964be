from __future__ import annotations

import json

from service.api_reference import markdown
from service.app import openapi_document
from tests.cli.commands import Cli


def test_the_document_is_printed_as_json(cli: Cli) -> None:
    assert json.loads(cli("openapi").output) == openapi_document()


def test_the_page_is_printed_as_it_is(cli: Cli) -> None:
    assert cli("openapi", "--markdown").output == markdown(openapi_document())
