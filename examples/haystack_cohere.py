"""Haystack's CohereRanker."""

import os

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker

URL = os.environ.get("ONEPASS_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("ONEPASS_API_KEY", "none")
MODEL = os.environ.get("ONEPASS_MODEL", "rerank-v3.5")
QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]

ranker = CohereRanker(api_base_url=URL, api_key=Secret.from_token(KEY), model=MODEL, top_k=2)
for document in ranker.run(query=QUERY, documents=[Document(content=text) for text in TEXTS])["documents"]:
    print(f"{document.score:.3f} {document.content}")
