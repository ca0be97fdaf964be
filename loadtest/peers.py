"""Starts pointwise rerankers of the size of our own model, and runs a command against them.

    python -m loadtest.peers --vllm VENV/bin/python --infinity VENV/bin/infinity_emb -- python -m loadtest.scenarios ...

Other servers read one passage with each prompt. They are given our model's body with a head of one label, which makes
it a cross-encoder for vLLM and Infinity alike: its scores mean nothing, but a token costs what it costs in our own. The
command finds the servers in ``PEER_VLLM_URL`` and ``PEER_INFINITY_URL``. Nothing is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtest.serving import ready
from loadtest.vllm_servers import QUIET, free_port, started, wait_for
from service.engine.vllm.export_head import export_head
from service.ranking import profile as profiles
from service.ranking.prompt import PromptBuilder

_PATIENCE_S = 300


def main() -> int:
    """Start the servers, run the command, stop the servers; the command's exit status becomes this script's."""
    options = _options()
    builder = PromptBuilder(profiles.find("onepass-mini"))
    name = builder.profile.name
    with tempfile.TemporaryDirectory(prefix="onepass-peers-") as folder, ExitStack() as running:
        model = Path(folder) / "cross-encoder"
        export_head(builder.profile.directory, builder.label_ids[:1], model)
        _without_token_types(model / "tokenizer_config.json")
        urls = {}
        if options.vllm:
            arguments = ["--model", str(model), "--served-model-name", name, "--runner", "pooling"]
            server = running.enter_context(started(options.vllm, arguments, log=Path(folder) / "vllm.log"))
            wait_for(server, _PATIENCE_S)
            urls["PEER_VLLM_URL"] = server.url
        if options.infinity:
            urls["PEER_INFINITY_URL"] = running.enter_context(_infinity(options.infinity, model, name))
        for variable, url in urls.items():
            print(f"{variable}={url}", flush=True)
        return subprocess.run(options.command, env=os.environ | urls, check=False).returncode  # noqa: S603


def _without_token_types(tokenizer: Path) -> None:
    """Infinity passes on all that a tokenizer gives for a pair of texts, and OPT knows no token types."""
    config = json.loads(tokenizer.read_text())
    tokenizer.write_text(json.dumps({**config, "model_input_names": ["input_ids", "attention_mask"]}))


@contextmanager
def _infinity(program: str, model: Path, name: str) -> Iterator[str]:
    """The URL of an Infinity server of a model folder."""
    port = str(free_port())
    place = ["--host", "127.0.0.1", "--port", port]
    command = [program, "v2", "--model-id", str(model), "--served-model-name", name, "--device", "cpu", *place]
    with subprocess.Popen(command, env=os.environ | QUIET) as process:  # noqa: S603 - the operator names the program
        try:
            yield ready(f"http://127.0.0.1:{port}", "/health", _PATIENCE_S)
        finally:
            process.terminate()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", help="an interpreter that has vLLM")
    parser.add_argument("--infinity", help="the program infinity_emb")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
