"""LiteLLM, with each of its providers that can be pointed at another server."""

import os

import litellm

URL = os.environ.get("ONEPASS_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("ONEPASS_API_KEY", "none")
MODEL = os.environ.get("ONEPASS_MODEL", "rerank-v3.5")
QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]

for provider in ("cohere", "jina_ai", "hosted_vllm", "infinity", "huggingface"):
    base = f"{URL}/infinity" if provider == "infinity" else URL
    answer = litellm.rerank(f"{provider}/{MODEL}", QUERY, TEXTS, top_n=2, api_base=base, api_key=KEY)
    for result in answer.results:
        print(f"{result['relevance_score']:.3f} {TEXTS[result['index']]}")
