"""Where a profile's tokenizer comes from: a file, or a repository of a model hub."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer

from service.errors import ProfileError

FILE_NAME = "tokenizer.json"


class Hub(BaseModel):
    """A repository of a model hub; what was fetched is kept in the cache of the hub's client."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^\w[\w.-]*/\w[\w.-]*$", description="owner/name")
    revision: str = Field("main", min_length=1, description="branch, tag or, best, a commit")

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


TokenizerSource = Path | Hub


def tokenizer_json(source: TokenizerSource) -> str:
    """The tokenizer as the ``tokenizers`` library writes it.

    Raises:
        ProfileError: the file cannot be read, or the hub does not give it.
    """
    if isinstance(source, Hub):
        source = fetched(source, FILE_NAME)
    try:
        return source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{source}: the tokenizer cannot be read: {error}") from error


def load_tokenizer(source: TokenizerSource) -> Tokenizer:
    """The tokenizer, without truncation and padding.

    Raises:
        ProfileError: it cannot be read, or is none.
    """
    return parsed(source, tokenizer_json(source))


def parsed(source: TokenizerSource, content: str) -> Tokenizer:
    """The tokenizer that ``content`` describes; ``source`` is named where it does not.

    Raises:
        ProfileError: it is none.
    """
    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # the library raises nothing more special
        raise ProfileError(f"{source}: not a tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def fetched(hub: Hub, file: str) -> Path:
    """Where the hub's client keeps its copy of a repository's file, which it fetches if it has none.

    Raises:
        ProfileError: there is no such file, or no hub that can be reached.
    """
    try:
        return Path(huggingface_hub.hf_hub_download(hub.name, file, revision=hub.revision))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ProfileError(
            f"{hub}: its {file} cannot be fetched: {error}. Where there is no hub, put the file into a folder "
            f"{hub.name} of the models directory"
        ) from error
