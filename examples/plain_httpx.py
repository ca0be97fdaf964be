"""No client but httpx: our own form of `/v1/rerank`, which tells most."""

import os

import httpx

URL = os.environ.get("ONEPASS_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("ONEPASS_API_KEY", "none")
QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]

body = {"query": QUERY, "documents": TEXTS, "top_n": 2}
answer = httpx.post(f"{URL}/v1/rerank", json=body, headers={"Authorization": f"Bearer {KEY}"}).raise_for_status().json()
for result in answer["results"]:
    print(f"{result['score']:.3f} {TEXTS[result['index']]}")
