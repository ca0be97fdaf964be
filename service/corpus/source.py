"""What every corpus reader is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from service.domain import Document


class Source(Protocol):
    """Documents to index, readable more than once, in the same order with the same ids each time."""

    @property
    def name(self) -> str:
        """A short name, fit to name an index after."""

    def count(self) -> int | None:
        """How many documents there are, where that is cheap to know."""

    def documents(self) -> Iterator[Document]:
        """The documents, one at a time; ids may repeat if the corpus repeats them.

        Raises:
            InvalidInput: a file cannot be read, or a line of it is not a document; names the file and the line.
        """
