from __future__ import annotations

import os
import subprocess
import sys

from loadtest.cpu_time import cpu_seconds

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"


def test_the_time_of_a_child_counts_for_its_parent() -> None:
    before = cpu_seconds(os.getpid())
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert cpu_seconds(child.pid) >= 0.25
        assert cpu_seconds(os.getpid()) - before >= 0.25
        child.communicate("\n")
    assert cpu_seconds(os.getpid()) - before >= 0.25  # it has ended
