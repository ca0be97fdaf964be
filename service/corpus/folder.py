"""A plain folder of text and Markdown files, cut into passages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.corpus.chunking import Chunking
from service.corpus.files import opened, unreadable
from service.corpus.markdown import Section, sections
from service.domain import Document

MARKDOWN = {".md", ".markdown"}
PLAIN = {".txt", ".text"}
UNDECODED = re.compile("[\udc80-\udcff]")
"""What Python makes of bytes in a file name that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class TextFolder:
    """The passages of every ``.txt`` and ``.md`` file below ``path``, hidden ones left out.

    A passage's id is its file's path below the folder and its number in it from 1: ``guide/install.md#3``. Its title is
    the headings above it, or the file's name.
    """

    path: Path
    chunking: Chunking

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    def count(self) -> None:
        """Unknown before the files are cut."""

    def documents(self) -> Iterator[Document]:
        """The passages, file by file; see ``Source``."""
        for file in text_files(self.path):
            yield from self._passages(file)

    def _passages(self, file: Path) -> Iterator[Document]:
        relative = file.relative_to(self.path).as_posix()
        number = 0
        for section in _sections(file):
            for piece in self.chunking.pieces(section.text):
                number += 1
                yield Document(f"{relative}#{number}", piece, section.title or file.stem, {"path": relative})


def text_files(folder: Path) -> Iterator[Path]:
    """The text and Markdown files below ``folder``, each folder's own by name before those of its subfolders.

    Hidden files and folders are left out, links to folders not followed.

    Raises:
        InvalidInput: a folder cannot be read, or a file's name is not UTF-8.
    """
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or Path(name).suffix.lower() not in MARKDOWN | PLAIN:
                continue
            file = Path(parent) / name
            if UNDECODED.search(str(file.relative_to(folder))):
                raise unreadable(folder, f"the name of {os.fsencode(file.relative_to(folder))!r} is not UTF-8")
            yield file


def _refuse(error: OSError) -> None:
    raise unreadable(Path(error.filename), error.strerror or error)


def _sections(file: Path) -> Iterator[Section]:
    with opened(file) as stream:
        text = stream.read().replace("\r\n", "\n")
    if file.suffix.lower() in MARKDOWN:
        yield from sections(text)
    else:
        yield Section("", text)
