"""A build that is killed, at every step it takes on the disk, leaves the old index or none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio

from service.deadline import Deadline
from service.domain import RetrievalMode
from service.errors import IndexMissing
from service.retrieval.builder import build_index
from service.retrieval.local_first_stage import LocalFirstStage
from tests.retrieval.fruit import FRUIT, AxisEmbedder, ids

OLD, NEW = ["a", "b", "c", "d"], ["a", "b"]

# Python tells an audit hook of every file it opens, makes, renames or removes. Of many builds, each in a process and a
# folder of its own, the n-th kills itself, uncatchably, at the n-th of those steps, until one needs fewer and finishes.
KILLED_BUILDS = """
import os, shutil, signal, sys
from pathlib import Path
import anyio
from service.retrieval.builder import build_index
from tests.retrieval.fruit import FRUIT, AxisEmbedder

def build(folder, deadly):
    steps = 0
    def count(event, arguments):
        nonlocal steps
        if any(str(folder) in os.fsdecode(a) for a in arguments if isinstance(a, (str, bytes, os.PathLike))):
            steps += 1
            if steps == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    anyio.run(lambda: build_index(folder, FRUIT[:2], AxisEmbedder(), batch_size=1))

root, deadly, status = Path(sys.argv[1]), 0, signal.SIGKILL
while status == signal.SIGKILL:
    deadly += 1
    folder = root / f"{deadly:03}"
    if (root / "old").exists():
        shutil.copytree(root / "old", folder)
    child = os.fork()
    if child == 0:
        build(folder, deadly)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
sys.exit(status != 0)
"""


def killed_builds(root: Path) -> list[Path]:
    """Folders of builds that were killed one step later each; the last one finished."""
    subprocess.run([sys.executable, "-c", KILLED_BUILDS, str(root)], check=True)  # noqa: S603 - a script of ours
    return sorted(folder for folder in root.iterdir() if folder.name != "old")


def found(folder: Path) -> list[str] | None:
    """The documents of the index there, after all its checks; None where there is no index."""

    async def search() -> list[str]:
        stage = LocalFirstStage.open(folder, AxisEmbedder())
        retrieved = await stage.retrieve("apple", 10, RetrievalMode.DENSE, Deadline.never())
        await stage.close()
        return sorted(ids(retrieved.candidates))

    try:
        return anyio.run(search)
    except IndexMissing:
        return None


def test_a_killed_first_build_leaves_no_index_until_it_is_whole(tmp_path: Path) -> None:
    outcomes = [found(folder) for folder in killed_builds(tmp_path)]
    assert len(outcomes) > 10
    whole = outcomes.index(NEW)
    assert outcomes == [None] * whole + [NEW] * (len(outcomes) - whole)


def test_a_killed_rebuild_leaves_the_old_index_until_the_new_one_is_whole(tmp_path: Path) -> None:
    anyio.run(lambda: build_index(tmp_path / "old", FRUIT, AxisEmbedder()))
    folders = killed_builds(tmp_path)
    outcomes = [found(folder) for folder in folders]
    whole = outcomes.index(NEW)
    assert outcomes == [OLD] * whole + [NEW] * (len(outcomes) - whole)
    leftovers = folders[whole // 2]
    anyio.run(lambda: build_index(leftovers, FRUIT[:2], AxisEmbedder()))
    assert found(leftovers) == NEW
    assert len(list((leftovers / "versions").iterdir())) == 2
