from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import ProfileError
from service.tokenization.sources import Hub, load_tokenizer
from tests.ranking.families import byte_level_bpe

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOAD = """
from service.tokenization.sources import Hub, load_tokenizer
print(load_tokenizer(Hub(name="maker/model", revision="{revision}")).get_vocab_size())
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A hub's cache that holds one tokenizer, under the revision ``v1``."""
    repository = tmp_path / "hub" / "models--maker--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "v1").write_text(COMMIT)
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    byte_level_bpe().save(str(snapshot / "tokenizer.json"))
    return tmp_path


def loaded(cache: Path, revision: str) -> subprocess.CompletedProcess[str]:
    """Load in a process of its own: the hub's client reads its environment once, when it is imported."""
    environment = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "PATH": ""}
    command = [sys.executable, "-c", LOAD.format(revision=revision)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def test_a_tokenizer_comes_from_a_hub_at_its_revision(cache: Path) -> None:
    assert int(loaded(cache, "v1").stdout) == byte_level_bpe().get_vocab_size()


def test_what_a_hub_does_not_give_is_told_with_what_to_do(cache: Path) -> None:
    failed = loaded(cache, "v2")
    assert "ProfileError: maker/model@v2: its tokenizer.json cannot be fetched" in failed.stderr
    assert "put the file into a folder maker/model of the models directory" in failed.stderr


def test_any_file_of_a_repository_is_found_in_the_cache(cache: Path) -> None:
    (file,) = cache.rglob("tokenizer.json")
    (file.parent / "config.json").write_text("{}")
    code = LOAD.format(revision="v1").replace("load_tokenizer", "fetched")
    code = code.replace('"v1")).get_vocab_size()', '"v1"), "config.json").read_text()')
    environment = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.stdout == "{}\n", done.stderr


@pytest.mark.parametrize("name", ["model", "a/b/c", "../model", "maker/", ""])
def test_a_hub_is_named_by_owner_and_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Hub(name=name)


def test_a_tokenizer_comes_from_a_file_without_truncation(tmp_path: Path) -> None:
    tokenizer = byte_level_bpe()
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(load_tokenizer(tmp_path / "tokenizer.json").encode("how do bees make honey").ids) > 3


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"none\.json: the tokenizer cannot be read"):
        load_tokenizer(tmp_path / "none.json")
