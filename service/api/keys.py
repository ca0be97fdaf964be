"""API keys: a file of one JSON object a line, each with a key's SHA-256 and what its holder may do.

A key holds 256 random bits, so there is nothing to guess and its plain SHA-256 is safe to keep: slow, salted hashes are
for secrets that people make up. The key itself is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import ConfigurationError
from service.observability.events import KeysLoaded, KeysRefused, Notify

_PREFIX = "onepass_"
_NAME = r"^[A-Za-z0-9_.:-]{1,128}$"


class Grant(BaseModel):
    """What the holder of a key may do; one line of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    name: str = Field(pattern=_NAME, description="tells people which key this is")
    tenant: str = Field(pattern=_NAME, description="on whose behalf its holder asks")
    indexes: tuple[str, ...] | None = Field(None, description="indexes it may search; all where there is no list")
    per_minute: int | None = Field(None, ge=1, description="requests a minute in each gateway process")
    concurrent: int | None = Field(None, ge=1, description="requests at once in each gateway process")

    def allows(self, index: str | None) -> bool:
        """Whether an index may be searched."""
        return self.indexes is None or index in self.indexes


class KeyRing:
    """The grants of a file, read again whenever the file changes.

    A change that cannot be read is told to ``notify`` and leaves the grants as they were.

    Raises:
        ConfigurationError: at the start, naming the line that is wrong.
    """

    def __init__(self, file: Path, notify: Notify) -> None:
        self._file = file
        self._notify = notify
        self._seen = _version(file)
        self._grants = read(file)

    def find(self, key: str) -> Grant | None:
        """The grant of ``key``, if it is known. Every grant is compared, each in constant time."""
        self._refresh()
        presented = digest(key)
        found = None
        for grant in self._grants:
            if hmac.compare_digest(grant.sha256, presented):
                found = grant
        return found

    def _refresh(self) -> None:
        version = _version(self._file)
        if version == self._seen:
            return
        self._seen = version
        try:
            self._grants = read(self._file)
        except ConfigurationError as error:
            self._notify(KeysRefused(str(error)))
        else:
            self._notify(KeysLoaded(len(self._grants)))


def new_key() -> str:
    """A key that nobody has had before."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read(file: Path) -> tuple[Grant, ...]:
    """The grants in a file; empty lines and those that begin with ``#`` are skipped.

    Raises:
        ConfigurationError: it cannot be read, or a line is no grant, or a key stands there twice.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"API keys: {file}: {error}") from error
    grants: dict[str, Grant] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        grant = _grant(line, f"API keys: {file}:{number}")
        if grant.sha256 in grants:
            raise ConfigurationError(f"API keys: {file}:{number}: this key stands above already")
        grants[grant.sha256] = grant
    return tuple(grants.values())


def _grant(line: str, place: str) -> Grant:
    try:
        return Grant.model_validate_json(line)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'line'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"{place}: {problems}") from None


def _version(file: Path) -> tuple[int, int, int] | None:
    """What tells one state of a file from the next; ``None`` while it is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
