"""Untrusted text made harmless before it stands in a prompt.

A passage that spells ``[B]`` could pass itself off as the start of passage B. So, in this order:

1. A lone surrogate becomes U+FFFD: it cannot be encoded.
2. A run of white space and control characters (NUL among them) becomes one space: a passage cannot break the
   template's lines.
3. A guarded token, that is an identifier such as ``[B]`` or a special token such as ``</s>``, loses its brackets to
   parentheses: ``(B)``, ``(/s)``. Case, full-width forms, and blanks or invisible characters next to the brackets make
   no difference. A guarded token without brackets becomes a space.

This hides identifiers from the model's eye; the prompt builder separately makes sure that no reserved token id stands
where untrusted text does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_BRACKETED = re.compile(r"([\[<{])(.+)([\]>}])", re.DOTALL)
_BARE = re.compile(r"\w+")
_GAP = "[ \u00ad\u200b-\u200f\u2060-\u2064\ufeff]*"
_FULL_WIDTH_OFFSET = 0xFEE0  # from "!".."~" to their full-width forms

RULES = "1"
"""Version of these rules: tokens made under other rules are not used."""


class Neutraliser:
    """Rewrites text so that none of ``tokens`` can be read in it.

    ``tokens`` are identifiers and special tokens as a prompt spells them. A bare letter or number is guarded in its
    bracketed form, ``[A]``, for the letter itself is ordinary text.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        guarded = {f"[{token}]" if _BARE.fullmatch(token) else token for token in tokens if token.strip()}
        self._pattern = re.compile(_any_of(guarded) if guarded else r"(?!)", re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """``text`` by the rules above; neutral text stays as it is."""
        plain = _CONTROL.sub(" ", _LONE_SURROGATE.sub("\ufffd", text))
        while True:  # ends after two rounds but for text built to bring a token together by taking another away
            tidy = " ".join(plain.split())
            plain = self._pattern.sub(_harmless, tidy)
            if plain == tidy:
                return plain


def _any_of(tokens: Iterable[str]) -> str:
    """A pattern for all of them: one alternative for each kind of bracket, since most text holds none."""
    insides, bare = defaultdict(list), []
    for token in sorted(tokens, key=lambda token: (-len(token), token)):
        if bracketed := _BRACKETED.fullmatch(token):
            opening, inside, closing = bracketed.groups()
            insides[opening, closing].append(_either_width(inside))
        else:
            bare.append(_either_width(token))
    enclosed = [
        f"(?P<_{i}>{_either_width(opening)}){_GAP}(?:{'|'.join(inside)}){_GAP}{_either_width(closing)}"
        for i, ((opening, closing), inside) in enumerate(insides.items())
    ]
    return "|".join(enclosed + bare)


def _either_width(text: str) -> str:
    """A pattern for ``text`` and for its full-width form."""
    return "".join(
        f"[{re.escape(character)}{chr(ord(character) + _FULL_WIDTH_OFFSET)}]" if "!" <= character <= "~" else character
        for character in text
    )


def _harmless(match: re.Match[str]) -> str:
    return f"({match.group()[1:-1]})" if match.lastgroup else " "
