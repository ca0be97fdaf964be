"""The judged questions about the demo corpus, as data: ``python-docs`` is a folder in the BEIR layout."""

from __future__ import annotations

from pathlib import Path

JUDGED = Path(__file__).parent / "python-docs"
"""Questions and judgements; the documents themselves come from the installed Python, see ``service.corpus``."""
