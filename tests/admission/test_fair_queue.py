from __future__ import annotations

from collections import Counter

from service.admission.fair_queue import Demand, FairQueue, Waiter
from service.deadline import Deadline


def waiter(tenant: str = "a", tokens: int = 10, at: float = 1.0, priority: int = 0) -> Waiter:
    return Waiter(Demand(tokens, Deadline(at), tenant, priority))


def filled(*waiters: Waiter) -> FairQueue:
    queue = FairQueue()
    for each in waiters:
        queue.push(each)
    return queue


def served(queue: FairQueue, count: int) -> list[Waiter]:
    return [queue.pop() for _ in range(count)]


def test_the_earliest_deadline_goes_first_within_a_tenant() -> None:
    late, early, same = waiter(at=3.0), waiter(at=1.0), waiter(at=3.0)
    assert served(filled(late, early, same), 3) == [early, late, same]


def test_a_higher_priority_goes_first_whatever_its_deadline() -> None:
    usual, urgent = waiter(at=1.0), waiter(tenant="b", at=9.0, priority=1)
    assert served(filled(usual, urgent), 2) == [urgent, usual]


def test_tenants_share_by_tokens_not_by_requests() -> None:
    queue = filled(*(waiter("large", tokens=40) for _ in range(50)), *(waiter("small", tokens=10) for _ in range(200)))
    tokens: Counter[str | None] = Counter()
    for each in served(queue, 100):
        tokens[each.demand.tenant] += each.tokens
        assert abs(tokens["large"] - tokens["small"]) <= 40


def test_one_who_comes_late_waits_for_nobodys_backlog_and_has_saved_up_nothing() -> None:
    queue = filled(*(waiter("busy") for _ in range(50)))
    served(queue, 20)
    for _ in range(10):
        queue.push(waiter("late"))
    tenants = [each.demand.tenant for each in served(queue, 20)]
    assert tenants[:2].count("late") == 1
    assert tenants.count("late") == tenants.count("busy") == 10


def test_tokens_ahead_are_those_served_before() -> None:
    queue = filled(*(waiter("busy", tokens=10) for _ in range(50)), waiter("own", tokens=30, at=1.0))
    assert queue.ahead_of(Demand(10, Deadline(2.0), "new")) == 0
    assert queue.ahead_of(Demand(10, Deadline(2.0), "own")) == 30 + 30
    assert queue.ahead_of(Demand(10, Deadline(0.5), "own")) == 0
    assert queue.ahead_of(Demand(10, Deadline(2.0), "busy")) == 500 + 30
    assert queue.ahead_of(Demand(10, Deadline(2.0), "new", priority=1)) == 0
    assert queue.ahead_of(Demand(10, Deadline(2.0), "new", priority=-1)) == queue.tokens == 530


def test_who_leaves_is_not_served() -> None:
    gone, stays = waiter(at=1.0), waiter(at=2.0)
    queue = filled(gone, stays)
    queue.remove(gone)
    queue.remove(gone)
    assert queue.first is stays
    assert len(queue) == 1


def test_tenants_that_are_gone_are_forgotten() -> None:
    queue = FairQueue()
    queue.push(waiter("stays", tokens=1))
    for number in range(1000):
        queue.push(waiter(f"tenant {number}"))
        queue.pop()
        queue.push(waiter("stays", tokens=1))
    queue.forget()
    assert queue.first is None
