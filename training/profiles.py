"""The profile YAML that a trained model is served with, in a folder that also holds the model.

``onepass`` finds both when its settings name that folder as that of profiles and as that of models.
"""

import shlex
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from service.ranking.profile import Profile
from training.errors import UnusableInput
from training.slots import AGAIN, FRONT, LONGEST, SLOT
from training.vocabulary import LABELS, QUERY, RANK, REFERENCE_ID, SPECIALS
from training.windows import SERVED_LABELS

_QUERY_TOKENS = 64
_CHUNKS = 1
_CALIBRATION = {"slope": 0.7, "offset": -2.1}  # fitted to train queries of six sets, likewise
_FIRST_STAGE_WEIGHT = 0.45  # chosen on train queries of six sets: see README.md


def slotted(name: str) -> dict[str, Any]:
    """The profile of a model with slots (``slots.py``)."""
    return {
        "name": name,
        "description": "Small listwise reranker with slots, trained on judgements of one's own.",
        "model": name,
        "folder": name,
        "reading": "listwise",
        "labels": LABELS[:SERVED_LABELS],
        "reference": SPECIALS[REFERENCE_ID],
        "window": SERVED_LABELS,
        "stride": SERVED_LABELS // 2,
        "strategy": "groupwise",
        "passage_tokens": SLOT - 2,
        "query_tokens": _QUERY_TOKENS,
        "context_tokens": LONGEST - 1,
        "first_stage_weight": _FIRST_STAGE_WEIGHT,
        "chunks": _CHUNKS,
        "calibration": _CALIBRATION,
        "slots": {"query_before": FRONT - 1, "query_after": AGAIN},
        "template": {
            "prefix": f"{QUERY}{{query}}",
            "passage": "{label}{text}{label}",
            "suffix": f"{QUERY}{{query}}{RANK}",
        },
    }


def renamed(profile: Profile, name: str) -> dict[str, Any]:
    """The same way of asking, of a model called ``name`` in the folder of that name."""
    kept = profile.model_dump(mode="json", exclude_defaults=True, exclude={"hub", "folder"})
    return kept | {"name": name, "model": name, "folder": name}


def checked(content: dict[str, Any]) -> Profile:
    """The profile that ``content`` spells.

    Raises:
        UnusableInput: it is none; a name may be the reason.
    """
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UnusableInput(f"profile: {problems}") from error


def write_profile(content: dict[str, Any], folder: Path) -> Path:
    """Writes ``NAME.yaml``."""
    file = folder / f"{content['name']}.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    return file


def in_settings(folder: Path) -> str:
    """What lets ``onepass`` find the profiles and models in ``folder``, as a shell reads it."""
    place = shlex.quote(str(folder))
    return f"ONEPASS_RANKING__PROFILES_DIRECTORY={place} ONEPASS_RANKING__MODELS_DIRECTORY={place}"
