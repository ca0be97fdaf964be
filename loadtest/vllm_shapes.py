"""What a model of a given size costs on this machine's vLLM: decode, head and a written order, on random weights.

    python -m loadtest.vllm_shapes --python VENV/bin/python --shape 0.5b 7b --out figures.json

Weights do not change how long a forward pass takes, so none are needed: a ``config.json`` of the size wanted, the
tokenizer that ships, and ``--load-format dummy``. One server runs at a time. ``--shape tiny`` runs on a CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import statistics
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from loadtest.tiny_model import find, write_tokenizer
from loadtest.vllm_servers import Server, started, wait_for
from loadtest.vllm_throughput import Straight, Windows, straight_rate, written_or_one_token
from service.engine.vllm.arguments import facts_of, server_arguments
from service.engine.vllm.head import HeadReading
from service.engine.vllm.reading import Manners, Mode
from service.ranking.prompt import PromptBuilder

VOCABULARY = 151_936
KNOWN = 6_000
"""Ids below this are in the tokenizer's vocabulary."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen2-like decoder."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    tie_word_embeddings: bool
    vocab_size: int = VOCABULARY


SHAPES = {
    "tiny": Shape(64, 2, 2, 1, 128, tie_word_embeddings=True, vocab_size=16_000),
    "0.5b": Shape(896, 24, 14, 2, 4864, tie_word_embeddings=True),
    "1.5b": Shape(1536, 28, 12, 2, 8960, tie_word_embeddings=True),
    "3b": Shape(2048, 36, 16, 2, 11008, tie_word_embeddings=True),
    "7b": Shape(3584, 28, 28, 4, 18944, tie_word_embeddings=False),
}


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds. Windows and prompt tokens a second."""

    shape: str
    window_tokens: int
    concurrency: int
    decode: float
    head: float
    permutation: float

    def told(self) -> dict[str, Any]:
        """With what follows from them."""
        return asdict(self) | {
            "decode_prompt_tokens_per_s": self.decode * self.window_tokens,
            "head_prompt_tokens_per_s": self.head * self.window_tokens,
            "head_over_decode": self.head / self.decode,
            "one_token_over_permutation": self.decode / self.permutation,
        }


def main() -> None:
    """Print a line of JSON for each shape, and write them all to ``--out``."""
    options = _options()
    told = []
    for name in options.shape:
        with tempfile.TemporaryDirectory(prefix="onepass-shape-") as folder:
            told.append(_measured(name, Path(folder), options).told())
        print(json.dumps(told[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(told, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="an interpreter that has vLLM")
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES), default=["0.5b"])
    parser.add_argument("--tokens", type=int, default=2400, help="tokens of a window: 20 passages of 100, and the rest")
    parser.add_argument("--concurrency", type=int, default=64, help="windows under way")
    parser.add_argument("--windows", type=int, default=512, help="windows in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--generated", type=int, default=80, help="tokens of a written order: [1] > [2] and so on")
    parser.add_argument("--patience", type=float, default=600, help="seconds for a server to become healthy")
    parser.add_argument("--extra", type=shlex.split, default=[], help="further server arguments")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _measured(name: str, folder: Path, options: argparse.Namespace) -> Figures:
    labels = write_model(folder, SHAPES[name])
    rates: dict[str, float] = {}
    for mode, measure in ((Mode.DECODE, _decode), (Mode.HEAD, _head)):
        facts = facts_of(folder, name=name, label_tokens=labels.label_tokens, prompt_tokens=options.tokens)
        facts = replace(facts, generated=options.generated)
        arguments = [*server_arguments(facts, mode), "--load-format", "dummy", *options.extra]
        with started(options.python, arguments, log=folder / f"{mode}.log") as server:
            wait_for(server, options.patience)
            rates |= asyncio.run(measure(server, name, labels, options))
    return Figures(name, options.tokens, options.concurrency, rates["decode"], rates["head"], rates["permutation"])


def write_model(folder: Path, shape: Shape) -> PromptBuilder:
    """A model folder without weights; returns the labels that it is asked for."""
    profile = find()
    write_tokenizer(profile, folder)
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "torch_dtype": "bfloat16",
        "hidden_act": "silu",
        "max_position_embeddings": 32_768,
        "rms_norm_eps": 1e-6,
        "eos_token_id": 0,
        **asdict(shape),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return PromptBuilder(profile)


async def _decode(server: Server, name: str, labels: PromptBuilder, options: argparse.Namespace) -> dict[str, float]:
    windows = Windows(labels.label_ids, options.tokens, KNOWN)
    asked = argparse.Namespace(**vars(options), decode=server.url)
    await written_or_one_token(argparse.Namespace(**{**vars(asked), "rounds": 1}), name, windows)  # warm up
    return await written_or_one_token(asked, name, windows)


async def _head(server: Server, name: str, labels: PromptBuilder, options: argparse.Namespace) -> dict[str, float]:
    windows, reading = Windows(labels.label_ids, options.tokens, KNOWN), HeadReading(labels.label_ids)
    rates = []
    for _ in range(options.rounds + 1):
        straight = Straight(
            server.url,
            reading.path,
            lambda prompt: reading.request(name, [prompt], Manners()),
            options.concurrency,
        )
        rates.append(await straight_rate(straight, windows.take(options.windows)))
    return {"head": statistics.median(rates[1:])}


if __name__ == "__main__":
    main()
