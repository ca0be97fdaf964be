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


@pytest.mark.parametrize("found", [1, FORMAT + 1])
def test_another_format_is_refused_with_the_command_that_helps(found: int) -> None:
    with pytest.raises(IndexIncompatible, match=f"format {found}.*onepass index build SOURCE --name NAME"):
        Manifest.from_json(changed(format=found, unheard_of=True))


def test_another_embedder_is_refused_with_the_command_that_helps() -> None:
    MANIFEST.require_embedder("axes-1", 4)
    for name, dimension in (("axes-2", 4), ("axes-1", 5)):
        with pytest.raises(IndexIncompatible, match=r"axes-1 .*onepass index build SOURCE --name NAME"):
            MANIFEST.require_embedder(name, dimension)


@pytest.mark.parametrize("field", ["embedder", "dimension", "factory", "documents", "files", "version", "encoding"])
def test_a_manifest_edited_by_hand_is_refused(field: str) -> None:
    other: dict[str, Any] = {"files": {}, "dimension": 5, "documents": 4}
    with pytest.raises(IndexCorrupt):
        Manifest.from_json(changed(**{field: other.get(field, "other")}))


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "7", '"format"', "{}", "{", '{"format": 2}'),
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
