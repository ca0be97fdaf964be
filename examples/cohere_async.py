"""Cohere's SDK, asynchronous, both versions of its API."""

import asyncio
import os

import cohere

URL = os.environ.get("ONEPASS_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("ONEPASS_API_KEY", "none")
MODEL = os.environ.get("ONEPASS_MODEL", "rerank-v3.5")
QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]


async def main() -> None:
    first = cohere.AsyncClient(KEY, base_url=URL)
    second = cohere.AsyncClientV2(KEY, base_url=URL)
    for client in (first, second):
        answer = await client.rerank(model=MODEL, query=QUERY, documents=TEXTS, top_n=2)
        for result in answer.results:
            print(f"{result.relevance_score:.3f} {TEXTS[result.index]}")


asyncio.run(main())
