"""Writers of an index, killed at a hundred instants, lose nothing acknowledged and leave nothing half there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import IO

import anyio
import pytest

from service.deadline import Deadline
from service.domain import Document, RetrievalMode
from service.retrieval import change_log, index_store
from service.retrieval.builder import Recipe, build_index
from service.retrieval.change_log import Put
from service.retrieval.index_writer import index_writer
from service.retrieval.local_first_stage import LocalFirstStage
from tests.retrieval.fruit import AxisEmbedder, LetterEncoder, ids

KILLS = 100
STEADY = Document("steady", "An apple that is always there.")
ATTEMPT = 3
"""Documents in one add, which must be there together or not at all."""

# For each line of its input it forks a writer, which adds and publishes without end and tells what it is about to do
# and what is acknowledged; after a random number of these words, and a random moment more, it is killed, uncatchably.
WRITERS = """
import json, os, random, signal, sys, time
from pathlib import Path
import anyio
from service.domain import Document
from service.retrieval.builder import Recipe
from service.retrieval.index_writer import index_writer
from tests.retrieval.fruit import AxisEmbedder, LetterEncoder

folder, size = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(20261121)

async def write(first, tell):
    with index_writer(folder, Recipe(AxisEmbedder(), LetterEncoder())) as writer:
        for number in range(first, first + 1000):
            os.write(tell, b"%d begun\\n" % number)
            writer.add(Document(f"{number}-{part}", f"apple {number} {part}") for part in range(size))
            os.write(tell, b"%d acknowledged\\n" % number)
            await writer.publish()
            writer.delete([f"{number - 1}-{part}" for part in range(size)])
            os.write(tell, b"%d deleted\\n" % (number - 1))

for line in sys.stdin:
    hear, tell = os.pipe()
    child = os.fork()
    if child == 0:
        anyio.run(write, int(line), tell)
        os._exit(1)
    os.close(tell)
    said = os.fdopen(hear)
    heard = [said.readline() for _ in range(chance.randint(1, 6))]
    time.sleep(chance.expovariate(200))
    os.kill(child, signal.SIGKILL)
    heard += said.readlines()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    print(json.dumps("".join(heard).splitlines()), flush=True)
"""


def state(folder: Path) -> set[str]:
    """The documents of the index once it is opened and what was acknowledged is published, after all checks."""

    async def publish_and_search() -> set[str]:
        with index_writer(folder, Recipe(AxisEmbedder(), LetterEncoder())) as writer:
            await writer.publish()
        stage = LocalFirstStage.open(folder, AxisEmbedder())
        halves = [
            await stage.retrieve("apple", 10_000, mode, Deadline.never())
            for mode in (RetrievalMode.DENSE, RetrievalMode.LEXICAL)
        ]
        await stage.close()
        dense, lexical = ({*ids(half.candidates)} for half in halves)
        assert dense == lexical
        for candidate in halves[0].candidates:
            assert candidate.tokens is not None
            assert bytes(candidate.tokens.ids.tolist()).decode() == candidate.document.text
        return dense

    return anyio.run(publish_and_search)


def parts(number: int) -> set[str]:
    return {f"{number}-{part}" for part in range(ATTEMPT)}


def kill_one(killer: subprocess.Popen[str], first: int) -> dict[str, set[int]]:
    """Start a writer that numbers its adds from ``first``; what it said before it was killed, as numbers by word."""
    assert killer.stdin is not None
    assert killer.stdout is not None
    tell(killer.stdin, first)
    heard: dict[str, set[int]] = {"begun": set(), "acknowledged": set(), "deleted": set()}
    for words in json.loads(killer.stdout.readline()):
        number, word = words.split()
        heard[word].add(int(number))
    return heard


def possible(there: set[str], heard: dict[str, set[int]]) -> list[set[str]]:
    """What may be found: all that is acknowledged, without or with the one change that was under way."""
    certain = there.union(*map(parts, heard["acknowledged"])).difference(*map(parts, heard["deleted"]))
    last = max(heard["begun"])
    if last not in heard["acknowledged"]:
        return [certain, certain | parts(last)]
    if last - 1 not in heard["deleted"]:
        return [certain, certain - parts(last - 1)]
    return [certain]


def tell(stdin: IO[str], first: int) -> None:
    stdin.write(f"{first}\n")
    stdin.flush()


def test_a_hundred_killed_writers_lose_nothing_acknowledged_and_leave_nothing_half(tmp_path: Path) -> None:
    folder = tmp_path / "fruit"
    anyio.run(lambda: build_index(folder, [STEADY], AxisEmbedder(), encoder=LetterEncoder()))
    command = [sys.executable, "-c", WRITERS, str(folder), str(ATTEMPT)]
    there: set[str] = {STEADY.id}
    interrupted = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killer:  # noqa: S603 - a script of ours
        for kill in range(1, KILLS + 1):
            heard = kill_one(killer, 1000 * kill)
            found, outcomes = state(folder), possible(there, heard)
            assert found in outcomes, (kill, heard, found ^ there)
            interrupted += len(outcomes) - 1
            there = found
    assert interrupted > 0


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    folder = tmp_path / "fruit"
    anyio.run(lambda: build_index(folder, [STEADY], AxisEmbedder(), encoder=LetterEncoder()))
    log = index_store.current_version(folder) / index_store.CHANGES
    change_log.append(log, [Put(Document("whole", "a whole apple"))])
    with log.open("ab") as file:
        file.write(b"0123 half a line")
    (folder / "versions" / "20200101T000000-00000000").mkdir()
    assert state(folder) == {"steady", "whole"}
    assert len(list((folder / "versions").iterdir())) == 2


def test_a_writer_that_is_killed_frees_the_lock(tmp_path: Path) -> None:
    anyio.run(lambda: build_index(tmp_path, [STEADY], AxisEmbedder()))
    holding = (
        "import sys, time; from pathlib import Path; from service.retrieval import index_store\n"
        "with index_store.locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holding, str(tmp_path)], stdout=subprocess.PIPE) as process:  # noqa: S603 - a script of ours
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Exception, match="another build or change"), index_store.locked(tmp_path):
            pass
        process.kill()
        process.wait()
    with index_store.locked(tmp_path):
        pass
