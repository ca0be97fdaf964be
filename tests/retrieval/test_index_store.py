from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import IndexCorrupt, IndexFolderError, IndexIncompatible, IndexMissing
from service.retrieval import index_store
from service.retrieval.manifest import Manifest


def write_version(root: Path, contents: bytes) -> Manifest:
    with index_store.locked(root), index_store.new_version(root) as version:
        (version / index_store.VECTORS).write_bytes(contents)
        (version / index_store.DOCUMENTS).write_bytes(contents[::-1])
        manifest = Manifest("axes-1", 4, "Flat", 3, "2026-01-01T00:00:00+00:00", index_store.record_files(version))
        index_store.publish(root, version, manifest)
    return manifest


def versions(root: Path) -> set[str]:
    return {folder.name for folder in (root / "versions").iterdir()}


def test_what_is_published_is_what_is_found(tmp_path: Path) -> None:
    manifest = write_version(tmp_path / "index", b"vectors")
    version = index_store.current_version(tmp_path / "index")
    assert index_store.read_manifest(version) == manifest
    index_store.verify(version, manifest)
    assert index_store.indexes_in(tmp_path) == [tmp_path / "index"]


def test_no_index_is_missing(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nowhere", tmp_path / "a" / "b"):
        with pytest.raises(IndexMissing):
            index_store.current_version(root)
    assert index_store.indexes_in(tmp_path / "nowhere") == []


def test_the_version_before_stays_until_the_next_build(tmp_path: Path) -> None:
    names = []
    for contents in (b"1", b"2", b"3"):
        write_version(tmp_path, contents)
        names.append(index_store.current_version(tmp_path).name)
    assert versions(tmp_path) == set(names[1:])


def test_a_failed_build_leaves_the_old_index_and_nothing_else(tmp_path: Path) -> None:
    manifest = write_version(tmp_path, b"old")
    with suppress(RuntimeError), index_store.locked(tmp_path), index_store.new_version(tmp_path) as version:
        (version / index_store.VECTORS).write_bytes(b"half")
        raise RuntimeError
    current = index_store.current_version(tmp_path)
    index_store.verify(current, manifest)
    assert versions(tmp_path) == {current.name}


def test_leftovers_of_a_crashed_build_are_removed_by_the_next(tmp_path: Path) -> None:
    leftover = tmp_path / "versions" / "20200101T000000-00000000"
    leftover.mkdir(parents=True)
    (leftover / index_store.VECTORS).write_bytes(b"half")
    write_version(tmp_path, b"whole")
    assert not leftover.exists()


def test_two_builds_of_one_index_do_not_mix(tmp_path: Path) -> None:
    with (
        index_store.locked(tmp_path),
        pytest.raises(IndexFolderError, match="another build"),
        index_store.locked(tmp_path),
    ):
        pass


def test_a_folder_that_is_something_else_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(IndexIncompatible, match="not an index"), index_store.locked(tmp_path):
        pass
    with pytest.raises(IndexIncompatible), index_store.locked(tmp_path / "thesis.txt"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("pointer", ["", "../../etc", "20200101T000000-00000000", "\udcff\udcfe", "x" * 10_000])
def test_a_pointer_to_nowhere_is_corrupt(tmp_path: Path, pointer: str) -> None:
    write_version(tmp_path, b"contents")
    (tmp_path / "CURRENT").write_text(pointer, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(IndexCorrupt):
        index_store.current_version(tmp_path)


@pytest.mark.parametrize("name", [index_store.VECTORS, index_store.DOCUMENTS])
def test_every_flipped_or_missing_byte_is_noticed(tmp_path: Path, name: str) -> None:
    manifest = write_version(tmp_path, b"0123456789")
    version = index_store.current_version(tmp_path)
    whole = (version / name).read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        (version / name).write_bytes(flipped)
        with pytest.raises(IndexCorrupt, match="checksum"):
            index_store.verify(version, manifest)
        (version / name).write_bytes(whole[:position])
        with pytest.raises(IndexCorrupt, match="bytes"):
            index_store.verify(version, manifest, checksums=False)
    (version / name).unlink()
    with pytest.raises(IndexCorrupt, match="missing"):
        index_store.verify(version, manifest)


@pytest.mark.parametrize(("name", "fits"), [("sparse.index", True), ("pieces.npy", True), ("other", False)])
def test_files_that_some_indexes_have_are_verified_too(tmp_path: Path, name: str, *, fits: bool) -> None:
    with index_store.locked(tmp_path), index_store.new_version(tmp_path) as version:
        for file in (index_store.VECTORS, index_store.DOCUMENTS, name):
            (version / file).write_bytes(b"content")
        files = index_store.record_files(version)
        assert (name in files) == fits
        manifest = Manifest("axes-1", 4, "Flat", 3, "2026-01-01T00:00:00+00:00", files)
        index_store.verify(version, manifest)
        with pytest.raises(IndexCorrupt, match="lists"):
            index_store.verify(version, replace(manifest, files={**files, "other": files[index_store.VECTORS]}))
        (version / name).write_bytes(b"damaged")
        if fits:
            with pytest.raises(IndexCorrupt, match="checksum"):
                index_store.verify(version, manifest)


def test_a_missing_or_undecodable_manifest_is_corrupt(tmp_path: Path) -> None:
    write_version(tmp_path, b"contents")
    version = index_store.current_version(tmp_path)
    (version / index_store.MANIFEST).write_bytes(b"\xff\xfe")
    with pytest.raises(IndexCorrupt):
        index_store.read_manifest(version)
    (version / index_store.MANIFEST).unlink()
    with pytest.raises(IndexCorrupt):
        index_store.read_manifest(version)
