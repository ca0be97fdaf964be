"""The trimmed vocabulary and its tokenizer.

Half of a small model's parameters are embeddings, and most wordpieces are rare. The pieces of the encoder's lower-case
vocabulary are pruned in rounds: count the pieces over a word list, keep the more frequent ones, count again with what
is left (a pruned word falls apart into pieces that are kept), until the wanted size is reached. Characters always stay.
"""

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

PAD, UNK, QUERY, RANK = "[PAD]", "[UNK]", "[QUERY]", "[RANK]"
RELEVANT, IRRELEVANT = "[RELEVANT]", "[IRRELEVANT]"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LABELS = [f"[{name}]" for name in [*_LETTERS, *(f"A{letter}" for letter in "ABCDEF")]]
SPARES = [f"[SPARE{i}]" for i in range(10)]
SPECIALS = [PAD, UNK, QUERY, RANK, *LABELS, RELEVANT, IRRELEVANT, *SPARES]

QUERY_ID, RANK_ID = SPECIALS.index(QUERY), SPECIALS.index(RANK)
LABEL_IDS = [SPECIALS.index(label) for label in LABELS]
REFERENCE_ID = SPECIALS.index(SPARES[0])  # its row becomes zero, and so its logit
RELEVANT_ID, IRRELEVANT_ID = SPECIALS.index(RELEVANT), SPECIALS.index(IRRELEVANT)

_WORD = re.compile(r"\w+|[^\w\s]")
_ROUNDS = (20_000, 16_000, 12_000, 9_000, 7_500)


def words(text: str) -> list[str]:
    """Lower-case words and single punctuation marks, accents stripped, as the tokenizer's normaliser makes them."""
    stripped = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return _WORD.findall(stripped.replace("_", " _ "))


def word_shares(corpora: Iterable[Iterable[str]], general: list[str]) -> dict[str, float]:
    """Relative word frequencies: every corpus counts the same; ``general`` (frequent words first) adds a Zipf prior."""
    shares: dict[str, float] = defaultdict(float)
    for corpus in corpora:
        counts = Counter(word for text in corpus for word in words(text))
        total = sum(counts.values())
        for word, count in counts.items():
            shares[word] += count / total
    norm = sum(1 / (rank + 10) for rank in range(len(general)))
    for rank, word in enumerate(general):
        shares[word] += 6 / (rank + 10) / norm
    return shares


def is_kept_character(piece: str) -> bool:
    """Single characters of European scripts, digits and marks always stay; the model is an English one."""
    bare = piece.removeprefix("##")
    return len(bare) == 1 and (ord(bare) < 0x0530 or 0x2000 <= ord(bare) < 0x2300)


def pieces_of(word: str, vocabulary: set[str]) -> list[str]:
    """WordPiece: longest match first. An unknown character gives no pieces."""
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in vocabulary:
                found.append(piece)
                start = end
                break
        else:
            return []
    return found


def choose_pieces(source: list[str], shares: dict[str, float], size: int) -> list[str]:
    """``size`` pieces of ``source``, in its order."""
    characters = {piece for piece in source if is_kept_character(piece)}
    kept = set(source)
    for target in (*(between for between in _ROUNDS if between > size), size):
        counts: dict[str, float] = defaultdict(float)
        for word, share in shares.items():
            for piece in pieces_of(word, kept):
                counts[piece] += share
        frequent = [piece for piece in sorted(counts, key=counts.__getitem__, reverse=True) if piece not in characters]
        kept = characters | set(frequent[: target - len(characters)])
    return [piece for piece in source if piece in kept]


def build_tokenizer(pieces: list[str]) -> Tokenizer:
    """A lower-case WordPiece tokenizer whose identifiers are added tokens.

    With ``tokenizer.encode_special_tokens = True`` the text "[A]" becomes three ordinary pieces: a passage cannot forge
    an identifier.
    """
    vocabulary = {piece: i for i, piece in enumerate([*SPECIALS, *pieces])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNK, max_input_chars_per_word=64))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    """Writes the two files that ``tokenizers`` and ``transformers`` read."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "pad_token": PAD,
        "unk_token": UNK,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
