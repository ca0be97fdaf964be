"""vLLM servers behind the engine's contract."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.deadline import Deadline
from service.engine.admissible import PromptLimits
from service.engine.scorer import LabelLogits, Prompt
from service.engine.vllm.addresses import Addresses
from service.engine.vllm.answers import member
from service.engine.vllm.chunks import split
from service.engine.vllm.decode import label_mass
from service.engine.vllm.discovery import Card, Discovery, Needs, Served
from service.engine.vllm.reading import Manners, Mode
from service.engine.vllm.replica import Policy, ReplicaLost
from service.engine.vllm.side_by_side import side_by_side
from service.engine.vllm.upstreams import Upstreams
from service.engine.vllm.wire import Connections, Wire
from service.errors import ConfigurationError, EngineRejected
from service.observability.events import EngineCalled, LabelsRead, Notify


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How to reach the servers.

    Attributes:
        urls: base URLs; ``dns+http://name:port`` stands for every address of a name.
        api_key: sent as a bearer token.
        call_tokens: prompt tokens in one call. Rounds with more are split, and their parts go to several replicas.
        manners: what requests carry beside the prompts.
        policy: how much a replica is forgiven.
        connections: how the connection pool behaves.
    """

    urls: tuple[str, ...]
    api_key: str | None = field(default=None, repr=False)
    call_tokens: int = 8192
    manners: Manners = field(default_factory=Manners)
    policy: Policy = field(default_factory=Policy)
    connections: Connections = field(default_factory=Connections)


class VllmScorer:
    """A ``Scorer`` over vLLM servers, each read in the mode that it serves; made by ``connect``.

    Prompts are not held back to travel together: vLLM itself batches all that is under way, token by token.
    """

    def __init__(self, options: VllmOptions, needs: Needs, notify: Notify = lambda _: None) -> None:
        self._options = options
        self._needs = needs
        self._notify = notify
        self._limits = PromptLimits(tokens=needs.prompt_tokens)
        self._labels = frozenset(needs.label_ids)
        self._wire = Wire(api_key=options.api_key, connections=options.connections)
        self._discovery = Discovery(self._wire, needs, options.manners, notify)
        self._expected: dict[Mode, Card] = {}
        self._upstreams = Upstreams(Addresses(options.urls), self._probe, options.policy, notify)

    @property
    def model(self) -> str:
        """The model's name, with a digest of where its weights came from once a server has told that."""
        seen = next((self._expected[mode] for mode in Mode if mode in self._expected), None)
        return seen.identity if seen else self._needs.model or "vllm"

    @property
    def served(self) -> dict[str, Served]:
        """What each server serves that may be asked now, by URL."""
        return self._upstreams.up

    @property
    def problems(self) -> dict[str, str]:
        """Why each other server is not asked, by URL."""
        return self._upstreams.problems

    async def open(self) -> None:
        """Look at the servers for the first time. That none can be reached yet is no error.

        Raises:
            ConfigurationError: one serves what the profile cannot use; the message names the flag to set.
        """
        await self._upstreams.open()

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        """Label logits of each prompt; the calls of a round run side by side, and none outlives it.

        Raises:
            DeadlineExceeded, EngineUnavailable, EngineRejected, EngineProtocolError: see ``Scorer.score``.
        """
        self._check(prompts)

        async def score(chunk: Sequence[Prompt]) -> list[LabelLogits]:
            return await self._score_chunk(chunk, deadline)

        answers = await side_by_side(score, split(prompts, self._options.call_tokens))
        return [logits for answer in answers for logits in answer]

    async def ready(self) -> bool:
        """Whether a server is up."""
        return bool(self._upstreams.up)

    async def close(self) -> None:
        """Fail the calls under way and close all connections. May be called more than once."""
        await self._upstreams.close()
        await self._wire.close()

    def _check(self, prompts: Sequence[Prompt]) -> None:
        self._limits.check(prompts)
        unknown = {label for prompt in prompts for label in prompt.label_ids} - self._labels
        if unknown:
            raise EngineRejected(f"token ids {sorted(unknown)} are no labels of the profile")

    async def _score_chunk(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        async def send(url: str, served: Served) -> list[LabelLogits]:
            return await self._ask(url, served, prompts)

        return await self._upstreams.call(sum(prompt.tokens for prompt in prompts), send, deadline)

    async def _ask(self, url: str, served: Served, prompts: Sequence[Prompt]) -> list[LabelLogits]:
        reading, name = served.reading, served.card.name
        request = reading.request(name, prompts, self._options.manners.of(prompts[0].owner))
        began = time.monotonic()
        answer = await self._wire.post(url, reading.path, request)
        if member(answer, "model") != name:
            raise ReplicaLost(f"{url} answered for another model than {name}")
        logits = reading.logits(answer, prompts)
        self._note(prompts, time.monotonic() - began)
        if reading.mode is Mode.DECODE:
            for values in logits:
                self._notify(LabelsRead(label_mass(values)))
        return logits

    def _note(self, prompts: Sequence[Prompt], seconds: float) -> None:
        tokens = sum(prompt.tokens for prompt in prompts)
        self._notify(EngineCalled(len(prompts), tokens, min(1.0, tokens / self._options.call_tokens), seconds))

    async def _probe(self, url: str, known: Served | None) -> Served:
        """What a server serves, if it is what every server of its mode has served since the first one."""
        examined = self._discovery.examine(url) if known is None else self._discovery.confirm(url, known)
        served = await examined
        expected = self._expected.setdefault(served.reading.mode, served.card)
        if (served.card.name, served.card.root) != (expected.name, expected.root):
            raise ConfigurationError(
                f"{url} serves {served.card.name} from {served.card.root}, where {expected.name} from {expected.root} "
                "is expected: give it --served-model-name and --model as before, or restart the gateway for the new one"
            )
        return served


async def connect(options: VllmOptions, needs: Needs, notify: Notify = lambda _: None) -> VllmScorer:
    """A scorer whose servers have been looked at; ``notify`` hears of replicas that come, go and fail.

    Raises:
        ConfigurationError: a server serves what the profile cannot use, or a URL is none.
    """
    scorer = VllmScorer(options, needs, notify)
    try:
        await scorer.open()
    except BaseException:
        await scorer.close()
        raise
    return scorer
