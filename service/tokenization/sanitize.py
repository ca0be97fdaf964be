"""Untrusted text made harmless before it stands in a prompt.

A passage that spells ``[B]`` could pass itself off as the start of passage B. So, in this order:

1. A lone surrogate becomes U+FFFD: it cannot be encoded.
2. A run of white space and control characters (NUL among them) becomes one space: a passage cannot break the
   template's lines.
3. A guarded token, that is an identifier such as ``[B]`` or a special token such as ``</s>``, loses its brackets to
   parentheses: ``(B)``, ``(/s)``. Case, accents, blanks, invisible characters and compatible forms (full-width, bold,
   circled) make no difference. A guarded token without brackets becomes a space.

This hides identifiers from the model's eye; the prompt builder separately makes sure that no reserved token id stands
where untrusted text does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_OPENING = re.escape("[\uff3b\ufe47<\uff1c\ufe64{\uff5b\ufe5b")  # each with the forms that are compatible with it
_CLOSING = re.escape("]\uff3d\ufe48>\uff1e\ufe65}\uff5d\ufe5c")
_BRACKETED = re.compile(f"[{_OPENING}]([^{_OPENING}{_CLOSING}]+)[{_CLOSING}]")
_NEUTRAL = re.compile(r"[^\x00-\x08\x0e-\x1f<\[{\x7f-\U0010ffff]*")
"""ASCII without control characters and opening brackets, as most text is: seen in a fraction of what the rules take."""
_BARE = re.compile(r"\w+")
_INVISIBLE = (  # Default_Ignorable_Code_Point in the Unicode character database
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_UNREAD = re.compile(rf"[\s{_INVISIBLE}]+")
_FULL_WIDTH_OFFSET = 0xFEE0  # from "!".."~" to their full-width forms

RULES = "2"
"""Version of these rules: tokens made under other rules are not used."""


class Sanitizer:
    """Rewrites text so that none of ``tokens`` can be read in it.

    ``tokens`` are identifiers and special tokens as a prompt spells them. A bare letter or number is guarded in its
    bracketed form, ``[A]``, for the letter itself is ordinary text.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        guarded = {f"[{token}]" if _BARE.fullmatch(token) else token for token in tokens if token.strip()}
        bracketed = {token for token in guarded if _BRACKETED.fullmatch(token)}
        self._bracketed = frozenset(map(_folded, bracketed))
        self._bare = re.compile(_any_of(guarded - bracketed), re.IGNORECASE)
        self._only_bracketed = guarded == bracketed

    def __call__(self, text: str) -> str:
        """``text`` by the rules above; neutral text stays as it is."""
        return " ".join(self.words(text))

    def words(self, text: str) -> list[str]:
        """What stands between blanks in ``text`` by the rules above."""
        if self._only_bracketed and _NEUTRAL.fullmatch(text):
            return text.split()
        plain = _CONTROL.sub(" ", text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text))
        while True:  # ends after two rounds but for text built to bring a token together by taking another away
            tidy = " ".join(plain.split())
            plain = self._bare.sub(" ", _BRACKETED.sub(self._harmless, tidy))
            if plain == tidy:
                return plain.split()

    def _harmless(self, match: re.Match[str]) -> str:
        return f"({match[1]})" if _folded(match[0]) in self._bracketed else match[0]


def _folded(text: str) -> str:
    """``text`` without what tells two spellings of a token apart."""
    if text.isascii():
        return "".join(text.split()).casefold()
    letters = unicodedata.normalize("NFKD", _UNREAD.sub("", text))
    return "".join(letter for letter in letters if not unicodedata.category(letter).startswith("M")).casefold()


def _any_of(tokens: Iterable[str]) -> str:
    """A pattern for all of them, the longest first; for nothing where there are none."""
    longest_first = sorted(tokens, key=lambda token: (-len(token), token))
    return "|".join(map(_in_any_width, longest_first)) or r"(?!)"


def _in_any_width(text: str) -> str:
    """A pattern for ``text``, its full-width form, and either with invisible characters within."""
    return f"[{_INVISIBLE}]*".join(
        f"[{re.escape(character)}{chr(ord(character) + _FULL_WIDTH_OFFSET)}]"
        if "!" <= character <= "~"
        else re.escape(character)
        for character in text
    )
