"""Answers held to the OpenAPI document."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema_rs

JSON = "application/json"


class Described:
    """What a service says about itself in ``/openapi.json``."""

    def __init__(self, service: httpx.Client) -> None:
        self.document: dict[str, Any] = service.get("/openapi.json").json()

    def accepts(self, path: str, body: Any) -> bool:
        """Whether ``body`` is declared as one of ``POST path``."""
        schema = self.document["paths"][path]["post"]["requestBody"]["content"][JSON]["schema"]
        return self._fits(schema, body)

    def tells_of(self, response: httpx.Response) -> bool:
        """Whether ``response`` has a status, a type and a body that are declared."""
        request = response.request
        operation = self.document["paths"][request.url.path][request.method.lower()]
        declared = operation["responses"].get(str(response.status_code), {}).get("content", {})
        kind = response.headers.get("content-type", "").partition(";")[0]
        if kind != JSON:
            return kind in (declared or {""})
        return JSON in declared and self._fits(declared[JSON]["schema"], response.json())

    def _fits(self, schema: dict[str, Any], value: Any) -> bool:
        whole = schema | {"components": self.document["components"]}
        return jsonschema_rs.is_valid(whole, value)
