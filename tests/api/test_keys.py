from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.api.keys import KeyRing, digest, new_key, read
from service.errors import ConfigurationError
from service.observability.events import Event, KeysLoaded, KeysRefused


def line(key: str, **more: Any) -> str:
    return json.dumps({"sha256": digest(key), "name": "frontend", "tenant": "acme"} | more) + "\n"


def replaced(file: Path, text: str) -> None:
    """Write a file as editors and Kubernetes do: a new one in the place of the old."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def test_keys_are_long_and_never_the_same() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("onepass_") and len(key) == 51 for key in keys)


def test_a_key_is_found_by_itself_alone(file: Path) -> None:
    file.write_text("# whose it is\n\n" + line("a", indexes=["one"]) + line("b", tenant="other"))
    keys = KeyRing(file, lambda _: None)

    a, b = keys.find("a"), keys.find("b")
    assert a is not None
    assert b is not None
    assert (a.tenant, b.tenant) == ("acme", "other")
    assert (a.allows("one"), a.allows("two"), a.allows(None), b.allows("two")) == (True, False, False, True)
    assert keys.find("c") is None
    assert keys.find(digest("a")) is None


def test_a_changed_file_counts_at_once(file: Path) -> None:
    events: list[Event] = []
    file.write_text(line("a"))
    keys = KeyRing(file, events.append)
    assert keys.find("a")

    replaced(file, line("b") + line("c"))

    assert keys.find("a") is None
    assert keys.find("b")
    assert events == [KeysLoaded(2)]


@pytest.mark.parametrize("broken", [None, "not a line\n", line("a")[:-5]])
def test_a_file_that_cannot_be_read_changes_nothing_and_is_told_once(file: Path, broken: str | None) -> None:
    events: list[Event] = []
    file.write_text(line("a"))
    keys = KeyRing(file, events.append)

    if broken is None:
        file.unlink()
    else:
        replaced(file, broken)

    assert keys.find("a")
    assert keys.find("a")
    (event,) = events
    assert isinstance(event, KeysRefused)
    assert str(file) in event.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}\n", "1: sha256: Field required"),
        (line("a") + "nonsense\n", "2: line: Invalid JSON"),
        (line("a", sha256="a"), "1: sha256: String should match"),
        (line("a", tenant="two words"), "1: tenant: String should match"),
        (line("a", indices=["one"]), "1: indices: Extra inputs"),
        (line("a", per_minute=0), "1: per_minute"),
        (line("a") + line("a"), "2: this key stands above already"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_the_line(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=f"keys.jsonl:{said}"):
        read(file)
