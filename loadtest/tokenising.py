"""What passages of a request cost before the model: text to token ids, by whole texts and word by word.

    python -m loadtest.tokenising

Passages of the demo corpus, each read once, in random order. Word by word, words of earlier passages are remembered;
what comes at first and what comes after most of the corpus are told apart.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence

from service.corpus.stdlib_docs import StdlibDocs
from service.ranking import profile as profiles
from service.retrieval.embedding.embedder import passage_text
from service.tokenization.encoder import CHARACTERS_PER_TOKEN, TokenEncoder
from service.tokenization.sources import load_tokenizer

TOGETHER = 20


def main() -> None:
    """Print the milliseconds of twenty passages."""
    profile = profiles.find("onepass-embedded")
    shown = profile.passage_tokens * CHARACTERS_PER_TOKEN
    texts = [passage_text(document)[:shown] for document in StdlibDocs().documents()]
    random.Random(7).shuffle(texts)
    lists = [texts[start : start + TOGETHER] for start in range(0, len(texts) - TOGETHER, TOGETHER)]
    tokenizer, encoder = load_tokenizer(profile.tokenizer), TokenEncoder(profile.tokenizer, profile.identifiers)

    def whole_texts(found: Sequence[str]) -> object:
        return [tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids for text in found]

    def by_words(found: Sequence[str]) -> object:
        return encoder.untrusted(found, profile.passage_tokens)

    whole, by_word = [_taken(whole_texts, found) for found in lists], [_taken(by_words, found) for found in lists]
    quarter = len(lists) // 4
    print(f"{len(texts)} passages, milliseconds of the processor for {TOGETHER}, median:")
    print(f"the tokenizer alone {statistics.median(whole):.2f}")
    print(f"sanitized and cut, the first quarter {statistics.median(by_word[:quarter]):.2f}", end=", ")
    print(f"the last quarter {statistics.median(by_word[-quarter:]):.2f}")
    characters = sum(map(len, texts))
    print(f"characters in a millisecond: {characters / sum(whole):.0f}, word by word {characters / sum(by_word):.0f}")


def _taken(read: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    began = time.thread_time()
    read(texts)
    return (time.thread_time() - began) * 1000


if __name__ == "__main__":
    main()
