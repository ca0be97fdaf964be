"""Bodies of our own dialect as requests of the domain, held to the configured limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from service.api.schemas import native
from service.domain import (
    CachePolicy,
    Document,
    Parameters,
    Part,
    RerankOptions,
    RerankRequest,
    RetrievalMode,
    SearchRequest,
)
from service.errors import InputTooLarge, InvalidInput
from service.settings import LimitSettings

_TENANT = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def search_request(
    body: native.SearchBody,
    limits: LimitSettings,
    default_mode: RetrievalMode,
    *,
    tenant: str | None = None,
    cache: CachePolicy = CachePolicy.USE,
) -> SearchRequest:
    """The request a body stands for.

    Raises:
        InvalidInput, InputTooLarge: naming the field.
    """
    check_query(body.query, limits)
    _check_size("top_k", body.top_k, limits.candidates)
    _check_size("candidates", body.candidates, limits.candidates)
    _check_spans(body)
    mode = body.mode or default_mode
    if body.feedback and not (body.rerank.enabled and mode in {RetrievalMode.DENSE, RetrievalMode.HYBRID}):
        raise InvalidInput(
            "feedback moves a dense vector: it needs a dense or hybrid search, reranked", field="feedback"
        )
    if body.feedback and body.rerank.chunks:
        raise InvalidInput("chunks do not go with feedback", field="rerank.chunks")
    return SearchRequest(
        query=body.query,
        timeout_ms=_timeout(body.timeout_ms, limits),
        index=body.index,
        top_k=body.top_k,
        candidates=max(body.candidates, body.top_k),
        mode=mode,
        rerank=_options(body.rerank),
        feedback=body.feedback,
        strict=body.strict,
        tenant=tenant,
        cache=cache,
        priority=body.priority,
    )


def rerank_request(
    body: native.RerankBody,
    limits: LimitSettings,
    *,
    tenant: str | None = None,
    cache: CachePolicy = CachePolicy.USE,
) -> RerankRequest:
    """The request a body stands for.

    Raises:
        InvalidInput, InputTooLarge: naming the field.
    """
    check_query(body.query, limits)
    documents = tuple(_document(document, position) for position, document in enumerate(body.documents))
    check_documents(documents, limits)
    _check_identifiers(documents)
    _check_spans(body)
    return RerankRequest(
        query=body.query,
        documents=documents,
        timeout_ms=_timeout(body.timeout_ms, limits),
        top_n=body.top_n,
        rerank=_options(body.rerank),
        strict=body.strict,
        tenant=tenant,
        cache=cache,
        priority=body.priority,
    )


def _check_spans(body: native.SearchBody | native.RerankBody) -> None:
    if body.relevant_spans and (body.rerank.chunks == 0 or not body.rerank.enabled):
        raise InvalidInput("spans are those of chunks, and none are ranked", field="relevant_spans")


def tenant_of(headers: Mapping[str, str], header: str | None) -> str | None:
    """Who asks, by the header that names it; nobody in particular where there is no such header.

    Raises:
        InvalidInput: it names nobody.
    """
    name = headers.get(header) if header else None
    if name is not None and not _TENANT.fullmatch(name):
        raise InvalidInput("a tenant is 1 to 128 letters, digits and any of _ . : -", field=str(header))
    return name


def cache_policy(headers: Mapping[str, str]) -> CachePolicy:
    """What ``Cache-Control`` asks for; directives that are not ours to follow are passed over, as RFC 9111 has it."""
    directives = {part.partition("=")[0].strip().lower() for part in headers.get("cache-control", "").split(",")}
    wanted = (CachePolicy.AVOID, CachePolicy.ONLY, CachePolicy.REFRESH)
    return next((policy for policy in wanted if policy.value in directives), CachePolicy.USE)


def check_query(query: str, limits: LimitSettings, field: str = "query") -> None:
    """Hold a query to its limits.

    Raises:
        InvalidInput, InputTooLarge: naming ``field``.
    """
    if not query.replace("\0", " ").strip():
        raise InvalidInput("the query is empty", field=field)
    if len(query) > limits.query_chars:
        raise InputTooLarge(f"the query has {len(query)} characters; {limits.query_chars} are allowed", field=field)


def check_documents(
    documents: Sequence[Document], limits: LimitSettings, field: str = "documents", part: str = ".text"
) -> None:
    """Hold the documents of a request, and their number, to the limits.

    Raises:
        InputTooLarge: naming ``field``, or ``part`` of what is to blame in it.
    """
    _check_size(field, len(documents), limits.documents)
    for position, document in enumerate(documents):
        characters = len(document.title) + len(document.text)
        if characters > limits.document_chars:  # before the field's name is put together, which takes longer
            _check_size(f"{field}[{position}]{part}", characters, limits.document_chars)


def _check_size(field: str, size: int, limit: int) -> None:
    if size > limit:
        raise InputTooLarge(f"{field}: {size} are asked for; {limit} are allowed", field=field)


def _check_identifiers(documents: Sequence[Document]) -> None:
    seen: dict[str, int] = {}
    for position, document in enumerate(documents):
        first = seen.setdefault(document.id, position)
        if first != position:
            raise InvalidInput(
                f"documents[{position}] has the id of documents[{first}]", field=f"documents[{position}].id"
            )


def _document(body: str | native.DocumentBody, position: int) -> Document:
    if isinstance(body, str):
        return Document(id=str(position), text=body)
    identifier = str(position) if body.id is None else body.id
    return Document(id=identifier, text=body.text, title=body.title, metadata=body.metadata)


def _options(body: native.RerankOptionsBody) -> RerankOptions:
    parameters = _parameters(body.parameters)
    return RerankOptions(
        enabled=body.enabled,
        profile=body.profile,
        strategy=body.strategy,
        parameters=parameters,
        chunks=body.chunks,
        first_stage_weight=body.first_stage_weight,
    )


def _parameters(body: native.ParametersBody) -> Parameters:
    own = body.model_dump(exclude={"stages", "members"})
    return Parameters(**own, stages=_parts(body.stages), members=_parts(body.members))


def _parts(bodies: Sequence[native.PartBody] | None) -> tuple[Part, ...] | None:
    if bodies is None:
        return None
    return tuple(
        Part(body.profile, body.strategy, Parameters(**body.parameters.model_dump()), body.depth) for body in bodies
    )


def _timeout(wanted: float | None, limits: LimitSettings) -> float:
    if wanted is None:
        return limits.timeout_ms
    if wanted > limits.max_timeout_ms:
        raise InputTooLarge(f"timeout_ms: at most {limits.max_timeout_ms:g} are allowed", field="timeout_ms")
    return wanted
