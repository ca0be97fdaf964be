"""A profile with a small tokenizer of its own, in the shape of the shipped one, and builders of all shipped ones."""

from __future__ import annotations

import string

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.template import Template
from tests.ranking.families import stand_ins

LABELS = ("[A]", "[B]", "[C]", "[D]", "[E]", "[F]")


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    folder = tmp_path_factory.mktemp("tiny")
    _tokenizer().save(str(folder / "tokenizer.json"))
    return Profile(
        name="tiny",
        description="for tests",
        model="tiny",
        folder=folder,
        labels=LABELS,
        window=6,
        stride=3,
        passage_tokens=8,
        query_tokens=5,
        context_tokens=128,
        template=Template(
            prefix="[QUERY]{query}", passage="{label}{text}{label}", suffix="rank {count} [QUERY]{query}[RANK]"
        ),
    )


@pytest.fixture(scope="session")
def builder(profile: Profile) -> PromptBuilder:
    return PromptBuilder(profile)


@pytest.fixture(scope="session")
def single(profile: Profile) -> PromptBuilder:
    """The same model asked about one passage at a time."""
    changes = {
        "name": "single",
        "reading": "pointwise",
        "labels": ("n", "y"),
        "window": 1,
        "stride": 1,
        "strategy": "pointwise",
        "template": {"prefix": "[QUERY]{query}", "passage": "{text}", "suffix": "[RANK]"},
    }
    return PromptBuilder(Profile.model_validate(profile.model_dump() | changes))


@pytest.fixture(scope="session")
def graded(profile: Profile) -> PromptBuilder:
    """The same model asked for the grade of each passage of a window."""
    changes = {
        "name": "graded",
        "reading": "graded",
        "grades": ("0", "1", "2"),
        "strategy": "groupwise",
        "template": {"prefix": "[QUERY]{query}", "passage": "{label}{text}", "suffix": "{query}{asked}[RANK]"},
    }
    return PromptBuilder(Profile.model_validate(profile.model_dump() | changes))


@pytest.fixture(scope="session")
def builders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PromptBuilder]:
    """The prompts of every shipped profile by its name, each on a tokenizer of its family."""
    return stand_ins(tmp_path_factory.mktemp("families"))


def _tokenizer() -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[QUERY]", "[RANK]", *LABELS]
    marks = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    words = ["rank", "how", "to", "read", "a", "file", "the"]
    pieces = dict.fromkeys([*special, *marks, *(f"##{mark}" for mark in marks), *words])
    tokenizer = Tokenizer(models.WordPiece({piece: id_ for id_, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer
