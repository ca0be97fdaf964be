"""The page about profiles says what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.ranking.profile import Generation, Profile, available, find
from service.ranking.readings import Reading
from service.ranking.template import Place, Template

PAGE = (Path(__file__).parents[2] / "docs/profiles.md").read_text()


@pytest.mark.parametrize("key", [*Profile.model_fields, *Generation.model_fields, *Template.model_fields])
def test_every_key_is_explained(key: str) -> None:
    assert f"`{key}`" in PAGE


@pytest.mark.parametrize("name", available())
def test_every_shipped_profile_is_listed_with_its_model_and_reading(name: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    profile = find(name)
    assert profile.reading in row
    assert f"`{profile.labels[0]}`" in row
    if profile.hub is not None and not name.startswith("generic-"):
        assert profile.model in row


@pytest.mark.parametrize("word", [*Reading, *Place])
def test_every_reading_and_place_is_explained(word: str) -> None:
    assert word in PAGE
