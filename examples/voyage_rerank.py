"""Voyage's SDK."""

import os

import voyageai

URL = os.environ.get("ONEPASS_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("ONEPASS_API_KEY", "none")
MODEL = os.environ.get("ONEPASS_MODEL", "rerank-2.5")
QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]

client = voyageai.Client(api_key=KEY, base_url=f"{URL}/voyage/v1")
answer = client.rerank(QUERY, TEXTS, model=MODEL, top_k=2)
for result in answer.results:
    print(f"{result.relevance_score:.3f} {result.document}")
