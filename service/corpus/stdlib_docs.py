"""The demo corpus: what ``pydoc`` knows of the Python standard library that runs this service.

Several thousand passages of real prose about things with names, on every machine, with no download. A passage is a
module, class, function, method or property: its qualified name is the title, its signature and docstring are the text.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from service.domain import Document
from service.errors import ConfigurationError

SCRIPT = Path(__file__).with_name("stdlib_inspection.py")
MAX_WORDS = 250
"""Longer docstrings are cut between lines into passages of about this many words."""
TIMEOUT_S = 120.0


class StdlibDocs:
    """The documentation of the installed standard library."""

    name = "python-docs"

    def count(self) -> None:
        """Unknown before every module was looked at."""

    def documents(self) -> Iterator[Document]:
        """One passage an entry, sorted by name; a long entry goes on in ``name#2``, ``name#3``.

        Raises:
            ConfigurationError: the interpreter that reads the docstrings failed.
        """
        for line in _inspected().splitlines():
            yield from _passages(json.loads(line))


def _inspected() -> str:
    """What the inspection script prints, run where it can neither disturb this process nor see what is installed."""
    command = [sys.executable, "-I", "-S", str(SCRIPT)]
    # A terminal's capabilities would make some modules greet it on import.
    environment = os.environ | {"TERM": "dumb"}
    try:
        finished = subprocess.run(  # noqa: S603 - our own script, no input
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"the standard library's documentation could not be read: {error}") from error
    return finished.stdout.decode()


def _passages(entry: dict[str, str]) -> Iterator[Document]:
    metadata = {"kind": entry["kind"], "module": entry["module"]}
    for number, part in enumerate(_parts(entry["doc"]), 1):
        is_first = number == 1
        text = "\n\n".join(filter(None, [entry["signature"], part])) if is_first else part
        yield Document(entry["name"] if is_first else f"{entry['name']}#{number}", text, entry["name"], metadata)


def _parts(doc: str) -> Iterator[str]:
    """``doc`` in pieces of at most ``MAX_WORDS`` words, or one line if that is longer."""
    lines: list[str] = []
    words = 0
    for line in doc.splitlines():
        more = len(line.split())
        if lines and words + more > MAX_WORDS:
            yield "\n".join(lines).strip("\n")
            lines, words = [], 0
        lines.append(line)
        words += more
    yield "\n".join(lines).strip("\n")
