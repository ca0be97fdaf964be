"""LlamaIndex's TextEmbeddingInference. It sends its token as it is, so `Bearer` may stand before it or not."""

import os

from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

URL = os.environ.get("ONEPASS_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("ONEPASS_API_KEY", "none")
QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]

nodes = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in TEXTS]
reranker = TextEmbeddingInference(base_url=URL, auth_token=KEY, top_n=2)
for node in reranker.postprocess_nodes(nodes, query_str=QUERY):
    print(f"{node.score:.3f} {node.text}")
