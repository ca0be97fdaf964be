"""Who asks is told by a header that a proxy sets, and reaches the engine with every prompt."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest
from starlette.datastructures import Headers

from service.api.requests import tenant_of
from service.cache.answers import AnswerCache, Lifetimes
from service.deadline import Deadline
from service.domain import Document, RerankRequest
from service.engine.fake import FakeScorer
from service.engine.scorer import LabelLogits, Prompt
from service.errors import InvalidInput
from service.observability.events import Observers
from service.pipeline import Pipeline
from service.ranking.profile import find
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Ranker
from service.retrieval.embedding.static import StaticEmbedder
from service.retrieval.feedback import Feedback
from service.settings import EngineKind, Settings
from tests.reranking import unbounded
from tests.serving import serving

BODY = {"query": "bees", "documents": ["honey", "wax"]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> object:
    settings = Settings.model_validate(
        {
            "server": {"tenant_header": "X-Tenant"},
            "engine": {"kind": EngineKind.FAKE},
            "indexes": {"directory": tmp_path_factory.mktemp("none")},
        }
    )
    with serving(settings) as client:
        yield client


@pytest.mark.parametrize("headers", [{}, {"X-Tenant": "ann"}, {"x-tenant": "team:a_1.b-2"}])
def test_a_plain_name_or_none_is_taken(service: httpx.Client, headers: dict[str, str]) -> None:
    assert service.post("/v1/rerank", json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize("name", ["", "a b", "a" * 129, "<script>", "ann,bob"])
def test_what_is_no_name_is_refused(service: httpx.Client, name: str) -> None:
    refused = service.post("/v1/rerank", json=BODY, headers={"X-Tenant": name})
    assert refused.status_code == 422
    assert refused.json()["error"]["field"] == "X-Tenant"


def test_what_is_kept_for_one_tenant_answers_no_other(service: httpx.Client) -> None:
    body = {"query": "who keeps bees", "documents": ["a beekeeper", "a baker"]}

    def ask(**headers: str) -> str:
        return str(service.post("/v1/rerank", json=body, headers=headers).json()["cache"])

    assert [ask(**{"X-Tenant": "ann"}), ask(**{"X-Tenant": "ann"})] == ["miss", "hit"]
    assert [ask(**{"X-Tenant": "bob"}), ask(), ask()] == ["miss", "miss", "hit"]


def test_without_a_setting_no_header_names_anybody() -> None:
    assert tenant_of(Headers({"x-tenant": "ann"}), None) is None
    assert tenant_of(Headers({"x-tenant": "ann"}), "X-Tenant") == "ann"
    with pytest.raises(InvalidInput):
        tenant_of(Headers({"x-tenant": "ann\n"}), "X-Tenant")


class Heard(FakeScorer):
    """Remembers whose prompts it was given."""

    owners: list[str | None]

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        self.owners = [prompt.owner for prompt in prompts]
        return await super().score(prompts, deadline)


@pytest.mark.anyio
@pytest.mark.parametrize("tenant", ["ann", None])
async def test_the_engine_is_told_whose_prompts_they_are(tenant: str | None) -> None:
    scorer = Heard()
    ranker = Ranker(PromptBuilder(find("onepass-embedded")), scorer)
    observer = Observers([])
    pipeline = Pipeline(
        {},
        {"mini": ranker},
        default_index=None,
        default_profile="mini",
        reranking=unbounded(),
        feedback=Feedback(StaticEmbedder()),
        observer=observer,
        answers=AnswerCache(None, Lifetimes(60), observer),
    )
    documents = (Document("a", "honey"), Document("b", "wax"))
    await pipeline.rerank(RerankRequest("bees", documents, timeout_ms=5000, tenant=tenant))
    assert scorer.owners == [tenant, tenant]
