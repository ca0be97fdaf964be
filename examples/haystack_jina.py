"""Haystack's JinaRanker."""

import os

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.jina import JinaRanker

URL = os.environ.get("ONEPASS_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("ONEPASS_API_KEY", "none")
MODEL = os.environ.get("ONEPASS_MODEL", "jina-reranker-v1-base-en")
QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]

ranker = JinaRanker(base_url=f"{URL}/v1/rerank", api_key=Secret.from_token(KEY), model=MODEL)
for document in ranker.run(query=QUERY, documents=[Document(content=text) for text in TEXTS])["documents"]:
    print(f"{document.score:.3f} {document.content}")
