"""Small tokenizers of the families that shipped profiles are for, since the real ones are not at hand in tests."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from service.ranking.profile import Profile, available, find
from service.ranking.prompt import PromptBuilder

LETTERS = string.ascii_uppercase
CORPUS = [
    "the quick brown fox jumps over the lazy dog and the passages are ranked by relevance to the search query",
    "how do bees make honey bees make honey from nectar yes no yes no 0 1 0 1 2 3",
    *(f"passage {letter} or {letter} is relevant" for letter in LETTERS * 3),
]
MARKS = [*string.ascii_letters, *string.digits, *string.punctuation, "▁"]
QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def sentencepiece_bpe(*specials: str) -> Tokenizer:
    """As Llama and Mistral have it: a blank put first, ▁ for blanks, bytes for what is unknown, <s> before texts."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=MARKS))
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    learned = sorted(trained.get_vocab(), key=trained.get_vocab().__getitem__)
    merges = [pair for piece in learned for pair in _halves(piece, trained)]
    vocabulary = {piece: id_ for id_, piece in enumerate(dict.fromkeys([*pieces, *learned]))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([_special(token) for token in ("<unk>", "<s>", "</s>", *specials)])
    opening = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    tokenizer.post_processor = opening
    return tokenizer


def byte_level_bpe(corpus: Sequence[str] = CORPUS) -> Tokenizer:
    """As Qwen has it: bytes spelt as characters, ChatML marks, and marks of thinking that are not called special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN_PIECES), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet))
    tokenizer.add_special_tokens([_special(mark) for mark in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in ("<think>", "</think>")])
    return tokenizer


def unigram() -> Tokenizer:
    """As T5 and ALBERT have it: sentencepiece's other model, ▁ before every word."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, initial_alphabet=MARKS, special_tokens=["<unk>", "</s>"], unk_token="<unk>"
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "first": lambda: sentencepiece_bpe("[INST]", "[/INST]"),
    "first-zephyr": sentencepiece_bpe,
    "rank-zephyr": sentencepiece_bpe,
    "rank-vicuna": sentencepiece_bpe,
    "qwen3-reranker": byte_level_bpe,
    "mxbai-rerank-v2": byte_level_bpe,
    "generic-listwise": byte_level_bpe,
    "e2rank": byte_level_bpe,
    "generic-groupwise": byte_level_bpe,
}
"""The family of each shipped profile whose tokenizer does not come with the service."""


def with_tokenizer(profile: Profile, tokenizer: Tokenizer, folder: Path) -> Profile:
    """``profile`` with a tokenizer of its own in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return profile.model_copy(update={"folder": folder})


@cache
def stand_ins(folder: Path) -> dict[str, PromptBuilder]:
    """A builder for every shipped profile; what it cannot have of the real model, it has of its family."""
    found = {}
    for name in available():
        profile = find(name)
        if name in FAMILIES:
            profile = with_tokenizer(profile, FAMILIES[name](), folder / name)
        found[name] = PromptBuilder(profile)
    return found


def tokenizer_of(builder: PromptBuilder) -> Tokenizer:
    """The tokenizer that a builder uses."""
    return Tokenizer.from_file(str(builder.profile.directory / "tokenizer.json"))


def reserved(builder: PromptBuilder) -> set[int]:
    """Ids that only a template may put into a prompt."""
    tokenizer = tokenizer_of(builder)
    unknown = getattr(tokenizer.model, "unk_token", None)
    return set(tokenizer.get_added_tokens_decoder()) - {tokenizer.token_to_id(unknown) if unknown else None}


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)


def _halves(piece: str, trained: Tokenizer) -> list[tuple[str, str]]:
    """The merge that made a piece: the one whose parts were learned first."""
    vocabulary = trained.get_vocab()
    pairs = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
    known = [pair for pair in pairs if all(half in vocabulary for half in pair)]
    return sorted(known, key=lambda pair: max(vocabulary[half] for half in pair))[:1]
