"""A disk that is full, at every size at which it can be, leaves the version in use as it was.

A limit on the size of a file stands for the disk: the system refuses the same writes, with another error number.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from service.deadline import Deadline
from service.domain import RetrievalMode
from service.retrieval.builder import build_index
from service.retrieval.local_first_stage import LocalFirstStage
from tests.retrieval.fruit import FRUIT, AxisEmbedder, ids

# Builds and changes under ever larger limits, each in a process of its own, until there is room enough.
FULL_DISKS = """
import json, os, resource, sys
from pathlib import Path
import anyio
from service.domain import Document
from service.errors import IndexFolderError
from service.retrieval.builder import Recipe, build_index
from service.retrieval.index_writer import index_writer
from tests.retrieval.fruit import AxisEmbedder

folder, action = Path(sys.argv[1]), sys.argv[2]
documents = [Document(f"n{n}", "apple " * 200) for n in range(20)]

async def change():
    with index_writer(folder, Recipe(AxisEmbedder())) as writer:
        writer.add(documents)
        await writer.publish()

def attempt(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        anyio.run(change if action == "change" else lambda: build_index(folder, documents, AxisEmbedder()))
    except IndexFolderError as error:
        return str(error)
    return ""

limit = 0
while True:
    hear, tell = os.pipe()
    if os.fork() == 0:
        os.write(tell, json.dumps(attempt(limit)).encode())
        os._exit(0)
    os.close(tell)
    said = os.read(hear, 100_000).decode()
    print(said, flush=True)
    if said == '""':
        break
    assert os.wait()[1] == 0 and said
    sys.stdin.readline()
    limit = limit + 512 if limit < 4096 else limit + 8192
"""


def found(folder: Path) -> list[str]:
    async def search() -> list[str]:
        stage = LocalFirstStage.open(folder, AxisEmbedder())
        retrieved = await stage.retrieve("apple", 100, RetrievalMode.DENSE, Deadline.never())
        await stage.close()
        return sorted(ids(retrieved.candidates))

    return anyio.run(search)


@pytest.mark.parametrize("action", ["build", "change"])
def test_a_full_disk_leaves_the_version_in_use_and_says_so(tmp_path: Path, action: str) -> None:
    anyio.run(lambda: build_index(tmp_path, FRUIT, AxisEmbedder()))
    command = [sys.executable, "-c", FULL_DISKS, str(tmp_path), action]
    refusals = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as full:  # noqa: S603 - a script of ours
        assert full.stdin is not None
        assert full.stdout is not None
        while message := json.loads(full.stdout.readline()):
            refusals += 1
            assert "cannot be written" in message
            assert str(tmp_path) in message
            assert found(tmp_path) == ["a", "b", "c", "d"]
            full.stdin.write("\n")
            full.stdin.flush()
    assert refusals > 5
    assert len(found(tmp_path)) == (20 if action == "build" else 24)
