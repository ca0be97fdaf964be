"""A server on loopback that speaks as much HTTP and vLLM as the tests need, and misbehaves on purpose."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from service.engine.scorer import LabelLogits, Prompt
from service.engine.vllm.reading import Mode

LABELS = (100, 101, 102, 103)
MODEL = "mini"
OUTPUTS = {Mode.DECODE: "/v1/completions", Mode.HEAD: "/pooling", Mode.EMBED: "/v1/embeddings"}
MODES = (Mode.DECODE, Mode.HEAD)
"""Those in which a server gives every label's value."""


@dataclass(frozen=True)
class Reply:
    """What is sent: ``promised`` is the Content-Length if it is a lie; ``raw`` bytes replace the whole response."""

    body: bytes = b""
    status: int = 200
    promised: int | None = None
    raw: bytes | None = None
    hang: bool = False

    def encoded(self) -> bytes:
        if self.raw is not None:
            return self.raw
        length = len(self.body) if self.promised is None else self.promised
        head = f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        return head.encode() + self.body


Fault = Callable[[Any], Reply]
"""Makes the reply from the answer that a good server would give."""


def prompt(*tokens: int, labels: int = len(LABELS)) -> Prompt:
    return Prompt(np.array(tokens, dtype=np.uint32), LABELS[:labels])


def value(tokens: Sequence[int], label: int) -> float:
    """The stand-in's logit."""
    return ((sum(tokens) * 31 + label * 17) % 101) / 10 - 5


def expected(prompts: Sequence[Prompt]) -> list[LabelLogits]:
    return [tuple(value(p.token_ids.tolist(), label) for label in p.label_ids) for p in prompts]


class StandIn:
    """A server of one mode. ``fault`` spoils every scoring reply while it is set; tests change attributes freely."""

    def __init__(
        self, mode: Mode = Mode.DECODE, *, model: str = MODEL, context: int = 2048, delay_s: float = 0
    ) -> None:
        self.mode = mode
        self.model = model
        self.root = f"/models/{model}"
        self.context = context
        self.delay_s = delay_s
        self.healthy = True
        self.frozen = False
        self.fault: Fault | None = None
        self.scored: list[dict[str, Any]] = []
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.accepted = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self._open)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """Stop listening, and break every connection."""
        if self._server is not None:
            self._server.close()
        for task, writer in self._open.items():
            writer.transport.abort()
            task.cancel()
        if self._open:
            await asyncio.wait(tuple(self._open))

    async def settled(self) -> int:
        """Connections still open after clients had time to let go of them."""
        for _ in range(200):
            if not self._open:
                break
            await asyncio.sleep(0.005)
        return len(self._open)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _error: object, _at: TracebackType | None) -> None:
        left = await self.settled() if kind is None else 0
        await self.kill()
        assert left == 0, "a connection was left open"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        self.accepted += 1
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or the server was killed
        finally:
            writer.close()
            del self._open[task]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            self.heads.append((path, headers))
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            reply = await self._unless_gone(reader, self._reply(method, path, body))
            writer.write(reply.encoded())
            await writer.drain()
            if reply.promised is not None or reply.raw is not None:
                return

    async def _unless_gone(self, reader: asyncio.StreamReader, work: Any) -> Reply:
        """The result of ``work``, dropped as soon as the client hangs up."""
        answering = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([answering, gone], return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise ConnectionResetError
            reply: Reply = answering.result()
            return reply
        finally:
            for future in (answering, gone):
                future.cancel()
                with suppress(asyncio.CancelledError):
                    await future

    async def _reply(self, method: str, path: str, body: bytes) -> Reply:
        if self.frozen:
            await asyncio.Event().wait()
        if path == "/health":
            return Reply(status=200 if self.healthy else 503)
        if path == "/v1/models":
            card = {"id": self.model, "root": self.root, "max_model_len": self.context}
            return _json({"data": [card]})
        if path == "/version":
            return _json({"version": "0.0"})
        if path != OUTPUTS[self.mode]:
            return Reply(status=404)
        if method != "POST":
            return Reply(status=405)
        return await self._score(json.loads(body))

    async def _score(self, request: dict[str, Any]) -> Reply:
        self.scored.append(request)
        await asyncio.sleep(self.delay_s)
        if request["model"] != self.model:
            return _json({"error": {"message": "no such model"}}, status=404)
        answer = {"model": self.model, **_ANSWERS[self.mode](request)}
        if self.fault is None:
            return _json(answer)
        reply = self.fault(answer)
        if reply.hang:
            await asyncio.Event().wait()
        return reply


def _choices(request: dict[str, Any]) -> dict[str, Any]:
    labels = request.get("logprob_token_ids", [])
    return {
        "choices": [
            {
                "index": index,
                "logprobs": {"top_logprobs": [{f"token_id:{label}": value(tokens, label) for label in labels}]},
            }
            for index, tokens in enumerate(request["prompt"])
        ]
    }


def _outputs(request: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": [
            {"index": index, "data": [value(tokens, label) for label in LABELS]}
            for index, tokens in enumerate(request["input"])
        ]
    }


def embedding(tokens: Sequence[int]) -> list[float]:
    """The stand-in's vector."""
    return [value(tokens, label) + 0.05 for label in LABELS]


def _embeddings(request: dict[str, Any]) -> dict[str, Any]:
    vectors = [np.array(embedding(tokens), dtype="<f4").tobytes() for tokens in request["input"]]
    return {
        "data": [
            {"index": index, "embedding": base64.b64encode(vector).decode()} for index, vector in enumerate(vectors)
        ]
    }


_ANSWERS = {Mode.DECODE: _choices, Mode.HEAD: _outputs, Mode.EMBED: _embeddings}


def _json(content: Any, status: int = 200) -> Reply:
    return Reply(json.dumps(content).encode(), status)
