from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.encoders.encoders import Encoders


@pytest.fixture(scope="session")
def encoders() -> Iterator[Encoders]:
    """The pair that ships, loaded once."""
    loaded = Encoders()
    yield loaded
    loaded.close()
