"""What happened, as frozen values; observers decide where it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from service.domain import CacheState, DegradedReason, DegradedStep


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """An HTTP request was answered. ``route`` is the path's template, never the raw path."""

    route: str
    method: str
    status: int
    seconds: float
    request_id: str


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """The answer was an error: ``reason`` is its kind as ``dialect`` was told it, such as ``invalid_input``."""

    dialect: str
    reason: str


@dataclass(frozen=True, slots=True)
class QueryAsked:
    """Somebody asked for a ranking. The only event that holds a text of a caller's, for logs that are told to."""

    query: str


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage of a request ran: cache, embed, retrieve or rank."""

    stage: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RankingFinished:
    """A list was ranked, or left in its first-stage order for the reason given.

    ``entropies`` has one value for each prompt, see ``service.ranking.certainty``; none where it cannot be told, or
    where several profiles ranked.
    """

    profile: str
    strategy: str
    prompts: int
    rounds: int
    prompt_tokens: int
    seconds: float
    degraded: DegradedReason | None
    entropies: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Degraded:
    """An answer was less than what was asked for."""

    reason: DegradedReason
    detail: str
    step: DegradedStep | None = None


class RefusalReason(StrEnum):
    """Why work was refused."""

    QUEUE = "queue"
    """What was before it in the queue would have taken too long."""
    WAITED = "waited"
    """It waited until it could not be done in time any more."""
    REQUESTS = "requests"
    """As many requests were under way as may be."""


@dataclass(frozen=True, slots=True)
class AdmissionWaited:
    """A ranking was admitted after so many seconds in the queue."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AdmissionRefused:
    """A ranking or a request was refused."""

    reason: RefusalReason


@dataclass(frozen=True, slots=True)
class AdmissionChanged:
    """Prompt tokens under way, rankings that wait, and the measured rate (0 while none is known)."""

    in_flight_tokens: int
    waiting: int
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class IndexOpened:
    """An index is being served: so many ``documents`` in so many ``bytes``, ``created`` at that Unix time."""

    name: str
    version: str
    documents: int
    bytes: int
    created: float


@dataclass(frozen=True, slots=True)
class IndexRefused:
    """A version of an index cannot be served; ``error`` is the class of what is wrong. The version before stays."""

    name: str
    error: str
    detail: str


@dataclass(frozen=True, slots=True)
class IndexWithdrawn:
    """An index is not served any more, because its folder is gone."""

    name: str


@dataclass(frozen=True, slots=True)
class CacheAsked:
    """A request was answered with, or without, the cache."""

    state: CacheState


@dataclass(frozen=True, slots=True)
class CacheFailed:
    """The store of answers could not be used; ``error`` is ``foreign_value`` or the class of what went wrong."""

    error: str


@dataclass(frozen=True, slots=True)
class CacheLed:
    """This process had the lead for a missing answer, and ``kept`` what it made, or had nothing whole to keep."""

    kept: bool


@dataclass(frozen=True, slots=True)
class EngineCalled:
    """The engine read a batch of prompts. ``fill`` is the share of the most tokens that one may have, at most 1."""

    prompts: int
    tokens: int
    fill: float
    seconds: float


@dataclass(frozen=True, slots=True)
class LabelsRead:
    """The labels of a prompt were as probable together as ``mass`` says, among all that the model might write."""

    mass: float


@dataclass(frozen=True, slots=True)
class KeysLoaded:
    """The file of API keys had changed and was read again."""

    keys: int


@dataclass(frozen=True, slots=True)
class KeysRefused:
    """The file of API keys had changed and cannot be used; the keys stay as they were."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReplicaUp:
    """A model server was admitted, for the first time or again."""

    url: str


@dataclass(frozen=True, slots=True)
class ReplicaDown:
    """A model server that was up is not asked any more."""

    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """A model server gave no usable result; ``error`` is the class of the error. The call may succeed elsewhere."""

    url: str
    error: str


@dataclass(frozen=True, slots=True)
class PermutationRepaired:
    """A generated order was not a permutation: so many passages were ``missing``, so many mentions ``surplus``.

    ``trailing`` says whether it was followed by something that is no part of an order.
    """

    missing: int
    surplus: int
    trailing: bool


Event = (
    RequestFinished
    | RequestFailed
    | QueryAsked
    | StageFinished
    | RankingFinished
    | Degraded
    | AdmissionWaited
    | AdmissionRefused
    | AdmissionChanged
    | IndexOpened
    | IndexRefused
    | IndexWithdrawn
    | CacheAsked
    | CacheFailed
    | CacheLed
    | EngineCalled
    | LabelsRead
    | KeysLoaded
    | KeysRefused
    | ReplicaUp
    | ReplicaDown
    | AttemptFailed
    | PermutationRepaired
)

Notify = Callable[[Event], None]
"""Takes note of an event."""


class Observer(Protocol):
    """Receives events as they happen, on the event loop: quick, and never raising."""

    def observe(self, event: Event) -> None:
        """Take note of ``event``."""


class Observers:
    """Hands every event to each of several observers."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def observe(self, event: Event) -> None:
        """Pass ``event`` on."""
        for observer in self._observers:
            observer.observe(event)
