"""Cohere's SDK, version 1 of its API: documents may be objects, of which some fields are read."""

import os

import cohere

URL = os.environ.get("ONEPASS_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("ONEPASS_API_KEY", "none")
MODEL = os.environ.get("ONEPASS_MODEL", "rerank-english-v3.0")
QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]

client = cohere.Client(KEY, base_url=URL)
documents = [{"title": "Animals", "body": text} for text in TEXTS]
answer = client.rerank(
    model=MODEL, query=QUERY, documents=documents, rank_fields=["title", "body"], top_n=2, return_documents=True
)
for result in answer.results:
    print(f"{result.relevance_score:.3f} {TEXTS[result.index]}")
