from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.errors import NotFound, ProfileError
from service.ranking.profile import MODELS, Profile, available, find, load
from service.ranking.readings import Reading
from service.tokenization.sources import Hub

PROFILES = Path(__file__).parents[1] / "profiles"


def written(target: Path, **changes: Any) -> Path:
    """A listwise profile with some keys changed; ``None`` removes one."""
    content = yaml.safe_load((PROFILES / "listwise.yaml").read_text(encoding="utf-8")) | changes
    file = target / "changed.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return file


@pytest.mark.parametrize("name", available())
def test_shipped_profiles_load(name: str) -> None:
    assert find(name).name == name


def test_the_default_is_asked_about_one_passage_at_a_time() -> None:
    profile = find("onepass-embedded")
    assert (profile.reading, profile.window, profile.strategies) == (Reading.ENCODED, 1, ("pointwise",))
    assert profile.directory == MODELS / "encoders"
    assert profile.evidence is not None


EXAMPLE: dict[str, Any] = {"query": "who", "passages": ["bees", "dogs"], "answer": "B"}
POINTWISE = {"reading": "pointwise", "strategy": "pointwise"}
ENCODED = {"reading": "encoded", "strategy": "pointwise"}
SHOWING = {
    "prefix": "{examples}{query}",
    "passage": "{label}{text}",
    "example": "{query}{passages}{answer}",
    "suffix": "[RANK]",
}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"windw": 3}, "windw: Extra inputs"),
        ({"window": None}, "window: Field required"),
        ({"folder": None}, "either a folder or a hub is needed"),
        ({"hub": {"name": "no-owner"}}, "hub.name"),
        ({"window": 1, "stride": 1}, "holds at least 2 passages"),
        ({"generation": {"max_tokens": 9}}, "generation belongs to the reading permutation"),
        ({"reading": "permutation"}, "generation belongs to the reading permutation"),
        ({"reading": "pointwise"}, "the reading pointwise goes with the strategies pointwise"),
        (POINTWISE, "window of 1 and two labels"),
        (POINTWISE | {"window": 1, "labels": ["n", "y"]}, "passage has no {label}"),
        ({"examples": [EXAMPLE]}, "examples need template.example"),
        ({"examples": [EXAMPLE | {"passages": []}]}, "examples.0.passages"),
        ({"examples": [EXAMPLE | {"query": "{count}"}]}, "{count} would be taken for a place"),
        ({"examples": [EXAMPLE | {"passages": ["a"] * 21}], "template": SHOWING}, "each passage of an example needs"),
        ({"grades": ["0", "1"]}, "grades belongs to the reading graded"),
        ({"reading": "graded"}, "grades belongs to the reading graded"),
        ({"reading": "graded", "grades": ["0", "1"]}, "{asked} belongs to the reading graded"),
        ({"strategy": "groupwise"}, "the reading listwise goes with the strategies single"),
        ({"evidence": {"dense": 1, "sparse": 1}}, "evidence belongs to the reading encoded"),
        (ENCODED, "evidence belongs to the reading encoded"),
        (ENCODED | {"evidence": {"dense": 1, "sparse": 1}}, "the reading encoded has a window of 1 and two labels"),
        (ENCODED | {"evidence": {"dense": 0, "sparse": 1}}, "evidence.dense"),
        (ENCODED | {"evidence": {"dense": 1, "sparse": float("inf")}}, "evidence.sparse"),
        ({"strategy": "pointwise"}, "the reading listwise goes with the strategies single"),
        ({"template": {"prefix": "{query}", "passage": "{text}", "suffix": "x"}}, "template.passage needs {label}"),
        ({"window": 21}, "a window of 21 needs as many labels"),
        ({"stride": 20}, "the stride is shorter"),
        ({"labels": ["[A]", "[A]"], "window": 2, "stride": 1}, "labels are distinct"),
        ({"strategy": "bogosort"}, "strategy: Value error, no strategy of that name"),
        ({"template": {"prefix": "{query}", "passage": "{label}{text}", "suffix": "{txt}"}}, "template.suffix"),
        ({"calibration": {"slope": -1.0}}, "calibration.slope"),
        ({"calibration": {"slope": float("nan")}}, "calibration.slope"),
    ],
)
def test_a_wrong_profile_is_refused_with_file_and_key(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    file = written(tmp_path, **changes)
    with pytest.raises(ProfileError) as refused:
        load(file)
    assert str(file) in str(refused.value)
    assert problem in str(refused.value)


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "name: [", "!!python/object:os.system {}"])
def test_what_is_no_profile_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(content)
    with pytest.raises(ProfileError, match=r"broken\.yaml"):
        load(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_a_profile_of_the_operators_own_goes_before_a_shipped_one(tmp_path: Path) -> None:
    written(tmp_path, name="first", window=8, stride=4).rename(tmp_path / "first.yaml")
    assert find("first", tmp_path).window == 8


def test_a_profile_called_otherwise_than_its_file_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(ProfileError, match="is listwise, but the file is called changed"):
        find("changed", tmp_path)


def test_an_unknown_profile_is_not_found() -> None:
    with pytest.raises(NotFound, match="onepass-embedded") as refused:
        find("none-such")
    assert refused.value.field == "rerank.profile"


def test_an_absolute_folder_stays_as_it_is(profile: Profile) -> None:
    assert profile.directory == profile.folder


def test_a_hub_stands_in_where_no_folder_holds_the_tokenizer(tmp_path: Path) -> None:
    profile = find("qwen3-reranker")
    assert profile.tokenizer == Hub(name="Qwen/Qwen3-Reranker-0.6B")
    folder = tmp_path / "Qwen" / "Qwen3-Reranker-0.6B"
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    assert find("qwen3-reranker", models=tmp_path).tokenizer == folder / "tokenizer.json"
    assert find("qwen3-reranker", models=tmp_path).directory == folder


def test_a_models_directory_goes_before_the_models_that_come_with_the_service(tmp_path: Path) -> None:
    assert find("onepass-embedded", models=tmp_path).directory == MODELS / "encoders"
    (tmp_path / "encoders").mkdir()
    assert find("onepass-embedded", models=tmp_path).directory == tmp_path / "encoders"


def test_every_shipped_profile_says_which_strategies_it_goes_with() -> None:
    for name in available():
        profile = find(name)
        assert profile.strategy in profile.strategies
        assert ("pointwise" in profile.strategies) == profile.reading.absolute
        assert ("sliding" in profile.strategies) == (not profile.reading.alone)
