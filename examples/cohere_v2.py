"""Cohere's SDK, version 2 of its API."""

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

client = cohere.ClientV2(KEY, base_url=URL)
answer = client.rerank(model=MODEL, query=QUERY, documents=TEXTS, top_n=2, max_tokens_per_doc=512)
for result in answer.results:
    print(f"{result.relevance_score:.3f} {TEXTS[result.index]}")
