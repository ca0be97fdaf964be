"""The profile that a fine-tuned model is served with: that of the model before, under another name."""

import shlex
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from service.errors import ProfileError
from service.ranking import profile as profiles
from service.ranking.profile import Profile


def read_profile(name: str) -> Profile:
    """A profile that comes with the service, or that of a YAML file."""
    return profiles.load(Path(name)) if name.endswith((".yaml", ".yml")) else profiles.find(name)


def renamed(profile: Profile, name: str) -> dict[str, Any]:
    """The content of the profile for a model called ``name`` in the folder of that name.

    Raises:
        ProfileError: the name cannot be one of a profile.
    """
    kept = profile.model_dump(mode="json", exclude_defaults=True, exclude={"hub", "folder"})
    content = kept | {"name": name, "model": name, "folder": name}
    try:
        Profile.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ProfileError(f"profile {name}: {problems}") from error
    return content


def write_profile(content: dict[str, Any], folder: Path) -> None:
    """Writes ``NAME.yaml``."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    (folder / f"{content['name']}.yaml").write_text(text, encoding="utf-8")


def settings_for(folder: Path) -> str:
    """The environment variables with which ``onepass`` finds the profiles and models in ``folder``."""
    place = shlex.quote(str(folder))
    return f"ONEPASS_RANKING__PROFILES_DIRECTORY={place} ONEPASS_RANKING__MODELS_DIRECTORY={place}"
