from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from service.errors import IndexCorrupt, IndexIncompatible
from service.retrieval.manifest import FORMAT, FileRecord, Manifest

MANIFEST = Manifest(
    embedder="axes-1",
    dimension=4,
    factory="Flat",
    documents=3,
    created="2026-11-21T09:00:00+00:00",
    files={"vectors.faiss": FileRecord(10, "ab"), "documents.sqlite": FileRecord(20, "cd")},
    encoding="letters-1",
)


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(MANIFEST.to_json()), **fields})


def test_it_reads_what_it_wrote() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_the_version_follows_the_contents_and_not_the_clock() -> None:
    assert replace(MANIFEST, created="later").version == MANIFEST.version
    assert replace(MANIFEST, files={"vectors.faiss": FileRecord(10, "ac")}).version != MANIFEST.version
    assert replace(MANIFEST, encoding=None).version != MANIFEST.version


def test_a_newer_format_is_refused_by_name() -> None:
    with pytest.raises(IndexIncompatible, match=f"format {FORMAT + 1}"):
        Manifest.from_json(changed(format=FORMAT + 1, unheard_of=True))


@pytest.mark.parametrize("field", ["embedder", "dimension", "factory", "documents", "files", "version", "encoding"])
def test_a_manifest_edited_by_hand_is_refused(field: str) -> None:
    other: dict[str, Any] = {"files": {}, "dimension": 5, "documents": 4}
    with pytest.raises(IndexCorrupt):
        Manifest.from_json(changed(**{field: other.get(field, "other")}))


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "7", '"format"', "{}", "{", '{"format": 1}'),
        *(changed(files=[]), changed(surplus=1), changed(created="yesterday")),
    ],
)
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(IndexCorrupt):
        Manifest.from_json(text)


def test_it_tells_its_size_and_when_it_was_made() -> None:
    assert (MANIFEST.bytes, MANIFEST.created_at) == (30, 1_795_251_600)


def test_every_truncation_is_refused() -> None:
    text = MANIFEST.to_json().rstrip()
    for length in range(len(text)):
        with pytest.raises(IndexCorrupt):
            Manifest.from_json(text[:length])
