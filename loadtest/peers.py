"""Starts pointwise rerankers over a cross-encoder, and runs a command against them.

    python -m loadtest.peers --model FOLDER --vllm VENV/bin/python --infinity VENV/bin/infinity_emb -- \
        python -m loadtest.scenarios ...

Other servers read a passage together with its query. ``--model`` is a cross-encoder with one label that both serve,
under the name ``peer``. The command finds the servers in ``PEER_VLLM_URL`` and ``PEER_INFINITY_URL``. Nothing is
installed or fetched.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtest.serving import ready
from loadtest.vllm_servers import QUIET, free_port, started, wait_for

_NAME = "peer"
_PATIENCE_S = 300


def main() -> int:
    """Start the servers, run the command, stop the servers; the command's exit status becomes this script's."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="onepass-peers-") as folder, ExitStack() as running:
        urls = {}
        if options.vllm:
            arguments = ["--model", str(options.model), "--served-model-name", _NAME, "--runner", "pooling"]
            server = running.enter_context(started(options.vllm, arguments, log=Path(folder) / "vllm.log"))
            wait_for(server, _PATIENCE_S)
            urls["PEER_VLLM_URL"] = server.url
        if options.infinity:
            urls["PEER_INFINITY_URL"] = running.enter_context(_infinity(options.infinity, options.model))
        for variable, url in urls.items():
            print(f"{variable}={url}", flush=True)
        return subprocess.run(options.command, env=os.environ | urls, check=False).returncode  # noqa: S603


@contextmanager
def _infinity(program: str, model: Path) -> Iterator[str]:
    """The URL of an Infinity server of a model folder."""
    port = str(free_port())
    place = ["--host", "127.0.0.1", "--port", port]
    command = [program, "v2", "--model-id", str(model), "--served-model-name", _NAME, "--device", "cpu", *place]
    with subprocess.Popen(command, env=os.environ | QUIET) as process:  # noqa: S603 - the operator names the program
        try:
            yield ready(f"http://127.0.0.1:{port}", "/health", _PATIENCE_S)
        finally:
            process.terminate()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a cross-encoder with one label")
    parser.add_argument("--vllm", help="an interpreter that has vLLM")
    parser.add_argument("--infinity", help="the program infinity_emb")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
