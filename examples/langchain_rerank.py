"""LangChain's CohereRerank as a document compressor."""

import os

from langchain_cohere import CohereRerank
from langchain_core.documents import Document

URL = os.environ.get("ONEPASS_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("ONEPASS_API_KEY", "none")
MODEL = os.environ.get("ONEPASS_MODEL", "rerank-v3.5")
QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]

reranker = CohereRerank(base_url=URL, cohere_api_key=KEY, model=MODEL, top_n=2)
documents = [Document(page_content=text) for text in TEXTS]
for document in reranker.compress_documents(documents, QUERY):
    print(f"{document.metadata['relevance_score']:.3f} {document.page_content}")
