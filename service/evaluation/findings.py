"""What an evaluation found, from what was measured to what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.corpus.beir import Qrels
from service.evaluation.comparison import Measurements, Row, compare
from service.evaluation.curve import MakePlan, anytime
from service.evaluation.evaluate import Measured
from service.evaluation.page import page
from service.evaluation.plots import Points


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured in each way to rank, by name, and how each plans."""

    measurements: Measurements
    plans: Mapping[str, MakePlan]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was ``found`` for the judged queries of a set called ``name``, from lists of a ``first_stage``.

    Relevant is what has at least grade ``relevant_from``; ``given`` says that the lists were.
    """

    name: str
    first_stage: str
    found: Found
    qrels: Qrels
    relevant_from: int = 1
    given: bool = False

    @property
    def queries(self) -> int:
        """How many were asked."""
        return len(self._first)

    @property
    def _first(self) -> Sequence[Measured]:
        return next(iter(self.found.measurements.values()))

    def rows(self) -> list[Row]:
        """The first stage and each way to rank, compared with the first of them."""
        return compare(self.found.measurements, self.qrels, given=self.given)

    def cut_short(self) -> dict[str, int]:
        """For each way, how many queries were not reranked to the end; without those where all were."""
        degraded = {name: sum(one.degraded for one in some) for name, some in self.found.measurements.items()}
        return {name: count for name, count in degraded.items() if count}

    def anytime(self) -> dict[str, Points]:
        """For each way that brought a query to its end, nDCG@10 against prompts spent."""
        measurements, plans = self.found.measurements, self.found.plans
        drawn = {name: anytime(some, plans[name], self.qrels) for name, some in measurements.items()}
        return {name: points for name, points in drawn.items() if points}

    def page(self) -> str:
        """The report as HTML."""
        facts = {
            "set": f"{self.name}, {self.queries} queries",
            "candidates": f"{self.first_stage}, up to {max(len(one.first_stage) for one in self._first)}",
            "relevant": f"grade {self.relevant_from} and above",
        }
        relevant = {
            query_id: {document_id: grade for document_id, grade in grades.items() if grade >= self.relevant_from}
            for query_id, grades in self.qrels.items()
        }
        return page(f"Onepass on {self.name}", facts, self.rows(), self.found.measurements, self.anytime(), relevant)
