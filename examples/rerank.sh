#!/bin/sh
# curl alone: our own form of /v1/rerank.
curl --silent --show-error --fail-with-body "${ONEPASS_URL:-http://127.0.0.1:8080}/v1/rerank" \
  --header "Authorization: Bearer ${ONEPASS_API_KEY:-none}" --header 'Content-Type: application/json' \
  --data '{
    "query": "what do fleas live on",
    "documents": [
      "The flea market opens on Sundays at nine.",
      "A cat sleeps for most of the day.",
      "Fleas live on the blood of mammals and birds."
    ],
    "top_n": 2,
    "return_documents": true
  }'
