"""What a server serves, found out by asking it, and whether that is what a profile needs.

A server that answers ``/v1/completions`` is read by decoding, one that answers ``/pooling`` by its head. Before it is
used it scores one small prompt with all labels of the profile, so what cannot work is refused at once, and with the
flag to set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from service.engine.scorer import Prompt
from service.engine.vllm.answers import array, member
from service.engine.vllm.decode import LABEL_LIMIT, DecodeReading
from service.engine.vllm.embed import EmbedReading
from service.engine.vllm.head import HeadReading
from service.engine.vllm.permutation import Generation, PermutationReading
from service.engine.vllm.reading import Manners, Mode, Reading
from service.engine.vllm.wire import Wire
from service.errors import ConfigurationError, EngineProtocolError, EngineRejected
from service.observability.events import Notify

GENERATED = 1
"""Tokens that decoding adds to a prompt."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a profile needs of a server.

    Attributes:
        label_ids: token ids of all the profile's labels, in its order.
        prompt_tokens: length of the longest prompt it can make.
        model: the name under which the server serves the model; ``None`` takes whatever it serves first.
        mode: decode or head, whichever the server must answer; ``None`` takes the one it answers.
        generation: how the model writes an order, if that is all it can do; ``mode`` then says nothing.
        embeds: whether the model embeds prompts and passages; ``mode`` then says nothing.
    """

    label_ids: tuple[int, ...]
    prompt_tokens: int
    model: str | None = None
    mode: Mode | None = None
    generation: Generation | None = None
    embeds: bool = False

    @property
    def context(self) -> int:
        """Tokens of the longest prompt and of what is generated after it.

        Decoding adds one. The head is held to the same room, so that the modes can be exchanged.
        """
        return self.prompt_tokens + (self.generation.max_tokens if self.generation else GENERATED)


@cache
def _short_digest(root: str) -> str:
    return hashlib.sha256(root.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Card:
    """A model as ``/v1/models`` lists it. ``root`` is where its weights came from; ``context`` is in tokens."""

    name: str
    root: str
    context: int

    @property
    def identity(self) -> str:
        """The name, with a short digest of where the weights came from if that says more than the name."""
        return self.name if self.root == self.name else f"{self.name}@{_short_digest(self.root)}"


@dataclass(frozen=True, slots=True)
class Served:
    """What was found out about a server."""

    card: Card
    version: str
    reading: Reading


class Discovery:
    """Asks servers what they serve, and refuses those that a profile cannot use."""

    def __init__(self, wire: Wire, needs: Needs, manners: Manners, notify: Notify = lambda _: None) -> None:
        self._wire = wire
        self._needs = needs
        self._manners = manners
        self._notify = notify

    async def examine(self, url: str) -> Served:
        """Everything about a server that has not been looked at, or was away.

        Raises:
            EngineUnavailable: it does not answer, or is not ready.
            EngineProtocolError: it answers, but not as vLLM does.
            ConfigurationError: it works, but cannot serve this profile.
        """
        await self._wire.healthy(url)
        card = await self._card(url)
        self._check_context(url, card)
        reading = await self._reading(url)
        self._check_labels(url, reading)
        await self._try_out(url, card, reading)
        version = str(member(await self._wire.get(url, "/version"), "version"))
        return Served(card, version, reading)

    async def confirm(self, url: str, known: Served) -> Served:
        """A quick look at a server in use: ``known`` if it still serves the same, else what it serves now.

        Raises:
            EngineUnavailable, EngineProtocolError, ConfigurationError: as ``examine``.
        """
        await self._wire.healthy(url)
        unchanged = await self._card(url) == known.card
        return known if unchanged else await self.examine(url)

    async def _card(self, url: str) -> Card:
        """The listing of the model needed, among all that the server lists."""
        listing = array(member(await self._wire.get(url, "/v1/models"), "data"), "the list of models")
        wanted = self._needs.model
        entry = next((entry for entry in listing if wanted in {None, member(entry, "id")}), None)
        if entry is None:
            names = ", ".join(str(member(entry, "id")) for entry in listing) or "nothing"
            raise ConfigurationError(f"{url} serves {names}, not {wanted}: start it with --served-model-name {wanted}")
        return _card(entry, listing)

    def _check_context(self, url: str, card: Card) -> None:
        needed = self._needs.context
        if card.context < needed:
            raise ConfigurationError(
                f"{url} serves {card.name} with a context of {card.context} tokens; this profile's prompts take up to "
                f"{needed}, what is generated included: start it with --max-model-len {needed} or more"
            )

    async def _reading(self, url: str) -> Reading:
        """How this server is read, by the endpoints it has."""
        possible = self._readings()
        for reading in possible:
            if await self._wire.routes(url, reading.path):
                return reading
        paths = " or ".join(reading.path for reading in possible)
        mode = "" if self._needs.mode is None else f" --mode {self._needs.mode}"
        raise ConfigurationError(
            f"{url} does not answer at {paths}: start it with the arguments of `profiles vllm-args{mode}`"
        )

    def _readings(self) -> list[Reading]:
        """The readings that the profile allows, the first choice first."""
        labels, generation = self._needs.label_ids, self._needs.generation
        if generation is not None:
            return [PermutationReading(labels, generation, self._notify)]
        if self._needs.embeds:
            return [EmbedReading()]
        both: list[Reading] = [DecodeReading(), HeadReading(labels)]
        return [reading for reading in both if self._needs.mode in {None, reading.mode}]

    def _check_labels(self, url: str, reading: Reading) -> None:
        labels = len(self._needs.label_ids)
        if reading.mode is Mode.DECODE and labels > LABEL_LIMIT:
            raise ConfigurationError(
                f"{url} is read by decoding, where vLLM gives at most {LABEL_LIMIT} labels and this profile has "
                f"{labels}: serve the identifier head instead (`profiles vllm-args --mode head`: --runner pooling)"
            )

    async def _try_out(self, url: str, card: Card, reading: Reading) -> None:
        """Score one small prompt with every label. Of an order only the first token is generated, and not read."""
        one = np.array([1], dtype=np.uint32)
        prompt = Prompt(one, self._needs.label_ids, (one,) * len(self._needs.label_ids) if self._needs.embeds else ())
        request = reading.request(card.name, [prompt], self._manners)
        try:
            if reading.mode is Mode.PERMUTATION:
                await self._wire.post(url, reading.path, request | {"max_tokens": GENERATED})
            else:
                reading.logits(await self._wire.post(url, reading.path, request), [prompt])
        except EngineRejected as error:
            raise ConfigurationError(f"{error}. {_advice(str(error), reading.mode)}") from error
        except EngineProtocolError as error:
            raise ConfigurationError(
                f"{url} does not give every label's value: {error}. {_ADVICE[reading.mode]}"
            ) from error


_ADVICE = {
    Mode.DECODE: "Serve the profile's own model, without speculative decoding (no --speculative-config).",
    Mode.PERMUTATION: "Serve the profile's own model, with structured outputs.",
    Mode.EMBED: "Serve the profile's own model as an embedding model: the arguments of `profiles vllm-args`.",
    Mode.HEAD: "Serve the profile's identifier head: --runner pooling, with the arguments of `profiles vllm-args`.",
}


def _advice(message: str, mode: Mode) -> str:
    """The flag that a rejection calls for, where it is known."""
    if "priority" in message:
        return "Start it with --scheduling-policy priority, or leave the priority at 0."
    return _ADVICE[mode]


def _card(entry: Any, listing: Sequence[Any]) -> Card:
    """One entry of the listing; an adapter has the context of the model it was made for."""
    context = entry.get("max_model_len") if isinstance(entry, Mapping) else None
    if context is None:
        parent = member(entry, "parent")
        context = next((member(other, "max_model_len") for other in listing if member(other, "id") == parent), None)
    if not isinstance(context, int):
        raise EngineProtocolError(f"the model {member(entry, 'id')} is listed without max_model_len")
    name = str(member(entry, "id"))
    return Card(name, str(entry.get("root") or name), context)
