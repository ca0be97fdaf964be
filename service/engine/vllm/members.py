"""Which replicas there are and which of them are up, kept current by looking regularly, and at once after trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup

from service.deadline import Deadline
from service.engine.vllm.replica import Policy, Replica
from service.errors import ConfigurationError, EngineError, EngineUnavailable
from service.observability.events import Event, Notify, ReplicaDown

S = TypeVar("S")

Addresses = Callable[[], Awaitable[Sequence[str]]]
"""The replicas' base URLs as they are known now. Raises ``EngineUnavailable`` when that cannot be told."""


class Probe(Protocol[S]):
    """Looks at one replica."""

    async def __call__(self, url: str, known: S | None) -> S:
        """What the replica at ``url`` serves; ``known`` is what it served at the last look, if it has been up since.

        Raises:
            EngineError: it is not well.
            ConfigurationError: it serves what cannot be used.
        """


class Members(Generic[S]):
    """The replicas at ``addresses``, of which ``probe`` tells what they serve."""

    def __init__(self, addresses: Addresses, probe: Probe[S], policy: Policy, notify: Notify) -> None:
        self._addresses = addresses
        self._probe = probe
        self._policy = policy
        self._notify = notify
        self._replicas: dict[str, Replica[S]] = {}
        self._probed: set[Replica[S]] = set()
        self._last_up = time.monotonic()
        self._admission = anyio.Event()
        self._trouble = anyio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def all(self) -> list[Replica[S]]:
        """Every replica there is."""
        return list(self._replicas.values())

    @property
    def up(self) -> list[Replica[S]]:
        """The replicas that may be asked."""
        return [replica for replica in self._replicas.values() if replica.served is not None]

    async def open(self) -> None:
        """Look at all replicas once, and from then on regularly. That none can be reached yet is no error.

        Raises:
            ConfigurationError: a replica serves what cannot be used.
        """
        wrong: list[ConfigurationError] = []
        async with anyio.create_task_group() as probes:
            await self._look(probes, wrong.append)
        if wrong:
            raise wrong[0]
        self._last_up = time.monotonic()
        self._watcher = asyncio.create_task(self._watch(), name="upstreams")

    async def close(self) -> None:
        """Stop looking, and cut off all calls. May be called more than once."""
        self._closed = True
        self._admission.set()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        for replica in self.all:
            replica.down("the engine is closed")
            replica.cut_off("the engine was closed")

    def hurry(self) -> None:
        """Something went wrong: look at once."""
        self._trouble.set()

    async def recovery(self, deadline: Deadline) -> None:
        """Wait until a replica has been admitted, while all are down; the wait is short, and over once for all calls.

        Raises:
            DeadlineExceeded: the deadline came first.
            EngineUnavailable: all have been down for too long, or this is closed.
        """
        patience = self._last_up + self._policy.patience_s - time.monotonic()
        if patience > 0 and not self._closed:
            with anyio.move_on_after(min(patience, deadline.remaining)):
                return await self._admission.wait()
            deadline.check("waiting for a replica of the engine")
        problems = "; ".join(f"{replica.url}: {replica.problem}" for replica in self.all)
        raise EngineUnavailable(f"no replica is up: {problems or 'no address is known'}")

    async def _watch(self) -> None:
        async with anyio.create_task_group() as probes:
            while True:
                with anyio.move_on_after(self._policy.look_s):
                    await self._trouble.wait()
                    await anyio.sleep(self._policy.hurry_s)
                self._trouble = anyio.Event()
                await self._look(probes, lambda _: None)

    async def _look(self, probes: TaskGroup, wrong: Callable[[ConfigurationError], None]) -> None:
        """Start to probe every replica, but those whose last probe has not come back yet; none waits for another."""
        await self._refresh()
        self._give_up_silent()
        for replica in self.all:
            if replica not in self._probed:
                self._probed.add(replica)
                probes.start_soon(self._probe_one, replica, wrong)

    def _give_up_silent(self) -> None:
        """Take silent replicas down, the last that is up excepted; what they hold is asked elsewhere."""
        for replica in sorted(self.all, key=lambda each: each.silence, reverse=True):
            if replica.silence and any(other is not replica for other in self.up):
                reason = "it holds work and answers nobody"
                replica.down(reason)
                replica.cut_off(reason)

    async def _refresh(self) -> None:
        """Take in new addresses and let go of vanished ones; calls under way at those may still be answered."""
        with suppress(EngineUnavailable), anyio.move_on_after(self._policy.probe_s):
            urls = await self._addresses()
            before = self._replicas
            self._replicas = {url: before.get(url) or Replica(url, self._policy, self._note) for url in urls}
            for url in before.keys() - self._replicas.keys():
                before[url].down("its address is gone")

    async def _probe_one(self, replica: Replica[S], wrong: Callable[[ConfigurationError], None]) -> None:
        known = replica.served
        limit = self._policy.admission_s if known is None else self._policy.probe_s
        try:
            with anyio.fail_after(limit):
                served = await self._probe(replica.url, known)
        except ConfigurationError as error:
            wrong(error)
            replica.down(str(error))
            replica.cut_off(str(error))
        except TimeoutError:
            self._missed(replica, f"no answer to a probe within {limit:g} s")
        except EngineError as error:
            self._missed(replica, str(error))
        except Exception as error:  # noqa: BLE001 - a fault of the probe itself must not end the watch over the others
            self._missed(replica, f"the probe failed: {error!r}")
        else:
            if known is None or replica.served is not None:  # else it was lost meanwhile, and needs a closer look
                replica.admit(served)
                self._admission.set()
                self._admission = anyio.Event()
        finally:
            self._probed.discard(replica)

    def _missed(self, replica: Replica[S], reason: str) -> None:
        """A probe was bad; one that is still up is probed again at once, to be sure."""
        replica.missed(reason)
        if replica.served is not None:
            self.hurry()

    def _note(self, event: Event) -> None:
        if isinstance(event, ReplicaDown):
            self._last_up = time.monotonic()
        self._notify(event)
