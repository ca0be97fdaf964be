"""Starts vLLM with a profile's model in each mode, decode, head and embed, and runs a command against them.

    python -m loadtest.vllm_servers --python VENV/bin/python -- python -m pytest tests/engine/vllm

A profile whose folder holds no weights is given a tiny model with random ones (``tiny_model.py``).
The command finds the servers in ``TEST_VLLM_DECODE_URL``, ``TEST_VLLM_HEAD_URL`` and ``TEST_VLLM_EMBED_URL``; its
exit status becomes this script's. Without a command the servers run until SIGINT or SIGTERM. ``--python`` is an
interpreter that has vLLM; this script itself needs the service's own packages only. Nothing is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import httpx

from loadtest.tiny_model import NAME, find, write_model
from service.engine.vllm.arguments import ModelFacts, facts_of, server_arguments
from service.engine.vllm.discovery import GENERATED
from service.engine.vllm.export_head import WEIGHTS, export_head, read_config
from service.engine.vllm.reading import Mode
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder

URL_VARIABLES = {
    Mode.DECODE: "TEST_VLLM_DECODE_URL",
    Mode.HEAD: "TEST_VLLM_HEAD_URL",
    Mode.EMBED: "TEST_VLLM_EMBED_URL",
}
QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}


@dataclass(frozen=True)
class Server:
    """A vLLM process with its log."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]


def main() -> int:
    """Start the servers, run the command, stop the servers."""
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    profile = find(options.profile)
    with tempfile.TemporaryDirectory(prefix="onepass-vllm-") as folder, contextlib.ExitStack() as running:
        scratch = Path(folder)
        if not (profile.directory / WEIGHTS).exists():
            profile = profile.model_copy(update={"folder": write_model(profile, scratch / "model")})
        facts = _facts(profile, scratch)
        servers = {mode: running.enter_context(_server(mode, facts[mode], scratch, options)) for mode in options.modes}
        for server in servers.values():
            wait_for(server, options.patience)
        environment = {URL_VARIABLES[mode]: server.url for mode, server in servers.items()}
        for name, url in environment.items():
            print(f"{name}={url}", flush=True)
        return _run(options.command, environment)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="an interpreter that has vLLM")
    parser.add_argument("--profile", default=NAME)
    parser.add_argument("--modes", nargs="+", type=Mode, choices=list(URL_VARIABLES), default=list(URL_VARIABLES))
    for mode in URL_VARIABLES:
        parser.add_argument(f"--{mode}-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--patience", type=float, default=300, help="seconds for a server to become healthy")
    parser.add_argument(
        "--extra", type=shlex.split, default=[], help="further server arguments, as --extra='--dtype float32'"
    )
    parser.add_argument("command", nargs="*", help="what to run, after --")
    return parser.parse_args()


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _facts(profile: Profile, scratch: Path) -> dict[Mode, ModelFacts]:
    """The model as each mode serves it; the head is exported into ``scratch``."""
    builder = PromptBuilder(profile)
    export_head(profile.directory, builder.label_ids, scratch / "head")
    folders = {Mode.DECODE: profile.directory, Mode.HEAD: scratch / "head", Mode.EMBED: profile.directory}
    tokens = prompt_tokens(profile)
    return {
        mode: facts_of(folder, name=profile.name, label_tokens=builder.label_tokens, prompt_tokens=tokens)
        for mode, folder in folders.items()
    }


def prompt_tokens(profile: Profile) -> int:
    """The most tokens of a prompt that leave room for a generated one."""
    positions: int = read_config(profile.directory)["max_position_embeddings"]
    return min(profile.context_tokens, positions - GENERATED)


@contextlib.contextmanager
def _server(mode: Mode, facts: ModelFacts, scratch: Path, options: argparse.Namespace) -> Iterator[Server]:
    port = getattr(options, f"{mode}_port") or free_port()
    arguments = [*server_arguments(facts, mode), *options.extra]
    with started(options.python, arguments, log=scratch / f"{mode}.log", port=port) as server:
        yield server


@contextlib.contextmanager
def started(python: str, arguments: Sequence[str], *, log: Path, port: int | None = None) -> Iterator[Server]:
    """A vLLM server on loopback, stopped at the end; it is not yet ready (``wait_for``)."""
    port = port or free_port()
    interpreter = str(Path(python).absolute())  # the server runs in another folder; following the link leaves the venv
    program = (interpreter, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port))
    command = [*program, *arguments]
    print(shlex.join(command), flush=True)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the operator names the interpreter
            command, cwd=log.parent, env=os.environ | QUIET, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield Server(f"http://127.0.0.1:{port}", log, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(server: Server, patience_s: float) -> None:
    """Return once the server is healthy. Raises ``SystemExit`` with the end of its log if it does not get there."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{server.url}/health", timeout=2, trust_env=False).is_success:
                return
        time.sleep(0.5)
    tail = server.log.read_text(errors="replace")[-4000:]
    raise SystemExit(f"{tail}\n{server.url} did not become healthy within {patience_s:g} s")


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run ``command`` to its end, or wait to be stopped if there is none."""
    try:
        if command:
            return subprocess.run(command, env=os.environ | environment, check=False).returncode  # noqa: S603
        signal.pause()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
