"""The scripts of ``examples/``, and how they are run: by an interpreter that has their client.

``.ci/run`` makes the environments; the variables below name their interpreters.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIENTS = "TEST_CLIENTS_PYTHON"
COHERE_5_13 = "TEST_CLIENTS_COHERE_5_13_PYTHON"
COHERE_7 = "TEST_CLIENTS_COHERE_7_PYTHON"
SECONDS = 240
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HAYSTACK_TELEMETRY_ENABLED": "False", "PYTHONUTF8": "1"}


@dataclass(frozen=True)
class Script:
    """An example, the variable that names its interpreter, and what its client is like.

    ``unknown_model`` is what it says to a model that is unknown; ``rankings`` are asked for one after the other;
    ``silent`` clients fail without a word of the service's.
    """

    name: str
    python: str = CLIENTS
    unknown_model: str | None = None
    rankings: int = 1
    silent: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.python}"

    @property
    def source(self) -> str:
        """What it says."""
        return (EXAMPLES / self.name).read_text(encoding="utf-8")


SCRIPTS = [
    *(
        Script(name, python, "NotFoundError", rankings)
        for python in (CLIENTS, COHERE_5_13, COHERE_7)
        for name, rankings in (("cohere_v1.py", 1), ("cohere_v2.py", 1), ("cohere_async.py", 2))
    ),
    Script("langchain_rerank.py", unknown_model="NotFoundError"),
    Script("llama_index_cohere.py", unknown_model="NotFoundError"),
    Script("llama_index_jina.py", unknown_model="RuntimeError: no model of that name"),
    Script("llama_index_tei.py", silent=True),
    Script("haystack_cohere.py", unknown_model="NotFoundError"),
    Script("haystack_jina.py", unknown_model="RuntimeError: no model of that name"),
    Script("haystack_tei.py"),
    Script("voyage_rerank.py", unknown_model="InvalidRequestError: no model of that name"),
    Script("litellm_rerank.py", unknown_model="no model of that name", rankings=5),
]


def wanted(script: Script, *more: Any) -> Any:
    """Parameters that are skipped where the script's client is missing."""
    missing = pytest.mark.skipif(script.python not in os.environ, reason=f"needs clients: {script.python}")
    return pytest.param(script, *more, marks=[pytest.mark.needs("clients"), missing], id=str(script))


def run(command: list[str], url: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command with what the examples read of the environment; ``more`` of it goes first."""
    told = {"ONEPASS_URL": url.rstrip("/"), "ONEPASS_API_KEY": "known"}
    return subprocess.run(  # noqa: S603  our own scripts
        command, env=os.environ | QUIET | told | more, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def run_script(script: Script, url: str, source: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run an example, or what was made of its source."""
    return run([os.environ[script.python], "-c", source or script.source], url, **more)


def asking(script: Script, query: str, texts: list[str]) -> str:
    """The source of an example that asks something else."""
    source = re.sub(r"^QUERY = .*$", lambda _: f"QUERY = {query!r}", script.source, flags=re.MULTILINE)
    return re.sub(r"^TEXTS = \[.*?^\]$", lambda _: f"TEXTS = {texts!r}", source, flags=re.MULTILINE | re.DOTALL)


def ranked(output: str) -> list[str]:
    """The lines of an example's output that tell a score and a text."""
    return [line for line in output.split("\n") if line[:2] == "0."]
