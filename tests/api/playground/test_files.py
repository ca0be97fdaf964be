from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

import service.api

FOLDER = Path(service.api.__file__).parent / "playground"
FILES = sorted(FOLDER.iterdir())


def source(suffix: str) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in FILES if file.suffix == suffix)


@pytest.mark.parametrize("path", ["/", *(f"/playground/{file.name}" for file in FILES)])
def test_each_file_is_served_with_a_policy(service: httpx.Client, path: str) -> None:
    response = service.get(path)

    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["none.js", "..%2Froutes%2Fplayground.py", "%2E%2E"])
def test_nothing_else_is_served(service: httpx.Client, name: str) -> None:
    assert service.get(f"/playground/{name}").status_code == 404


def test_the_page_is_light() -> None:
    assert sum(file.stat().st_size for file in FILES) < 150_000


def test_nothing_stands_in_line_and_nothing_comes_from_elsewhere() -> None:
    page = source(".html")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    for link in re.findall(r'(?:href|src)="([^"#]+)"', page):
        assert (FOLDER / link.removeprefix("/playground/")).is_file()
    scripts = source(".js")
    assert set(re.findall(r"https?://[^\s\"'`]+", scripts + source(".css"))) == {"http://www.w3.org/2000/svg"}
    for module in re.findall(r'from "([^"]+)"', scripts):
        assert (FOLDER / module).is_file()
