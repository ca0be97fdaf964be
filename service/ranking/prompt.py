"""Prompts from a profile: exact token budgets, and segments that keep untrusted text in its place.

Template, query and passages are tokenised apart from each other and joined as ids, so no text can merge with its
neighbour, and an identifier stands exactly where the template puts it. Each is tokenised as it reads in its place: a
blank of the template before the query or a passage goes into that text's first token, and only the prompt's first piece
begins as a text does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from service.domain import Document, PassageTokens, TokenIds
from service.engine.scorer import Prompt
from service.errors import ProfileError
from service.ranking.profile import Example, Profile
from service.ranking.readings import Reading
from service.ranking.template import Place, filled, lead, pieces
from service.tokenization.encoder import TokenEncoder

_Segments = tuple[TokenIds | None, ...]
"""Ids of trusted text; ``None`` where the query, or the passage, goes."""


_WORTH_READING = 32
"""Tokens of each passage for which a prompt has room that shows more of them than a window."""


class PromptBuilder:
    """Builds the prompts of one profile, and tokenises passages for it (a ``PassageEncoder``).

    ``encoding`` names the tokenizer, the sanitizing rules and the passage budget; ``fingerprint`` names everything
    about the profile that can change an answer, but for the model's weights. ``label_ids`` are the token ids of the
    labels, or grades, in the profile's order, shape [labels]; mere numbers where
    a model does not answer with tokens.
    ``longest`` is the most
    passages that a prompt can show: a full window, or more where there are labels and room for them. Safe to use from
    several threads.

    Raises:
        ProfileError: the tokenizer cannot be used, a label is not a single token where the template ends, the
            begin-of-text token is missing or doubled, or a full window leaves no room.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._encoder = TokenEncoder(profile.tokenizer, profile.identifiers)
        template = profile.template
        self._leads = {
            Place.QUERY: lead([template.prefix, template.suffix], Place.QUERY),
            Place.TEXT: lead([template.passage], Place.TEXT),
        }
        self.label_ids = self._find_labels()
        end = profile.passage_end
        self._passage_end = None if end is None else self._encoder.continuing(end)
        shown = 1 if profile.reading.alone else len(profile.labels)
        self._frames = [self._frame(count, profile.labels[0]) for count in range(shown + 1)]
        self._ends = {}
        if profile.reading is Reading.GRADED:
            self._ends = {
                (count, place): self._frame(count, profile.labels[place]).after
                for count in range(1, shown + 1)
                for place in range(count)
            }
        self._labelled = [self._around_text(label) for label in profile.labels[:shown]]
        self._label_tokens = [0, *accumulate(map(_literal_tokens, self._labelled))]
        self.encoding = _digest(self._encoder.fingerprint, str(profile.passage_tokens) + self._leads[Place.TEXT])
        self.fingerprint = _digest(
            self._encoder.fingerprint, profile.model_dump_json(exclude={"folder", "description"})
        )
        self._check_opening()
        self._check_room()
        self.longest = self._find_longest()

    @property
    def label_tokens(self) -> tuple[str, ...]:
        """The answers as the vocabulary spells them; as the profile does where they are no tokens."""
        if not self.profile.reading.by_token:
            return self.profile.answers
        return tuple(map(self._encoder.spelling, self.label_ids))

    @property
    def quick_characters(self) -> int:
        """So many are tokenised in about a millisecond, in which a thread would hardly have woken up and answered."""
        return self._encoder.quick_characters

    def encode(self, documents: Sequence[Document]) -> list[PassageTokens]:
        """Sanitized ids of each document's title and text, at most ``passage_tokens`` of them."""
        return [PassageTokens(self.encoding, ids) for ids in self._encode(documents, self.profile.passage_tokens)]

    def overlong(self, documents: Sequence[Document]) -> int | None:
        """Position of the first document that ``encode`` would cut; ``None`` where each is read to its end."""
        budget = self.profile.passage_tokens
        found = self._encode(documents, budget + 1)
        return next((position for position, ids in enumerate(found) if len(ids) > budget), None)

    def query_ids(self, query: str) -> TokenIds:
        """Sanitized ids of the query, at most ``query_tokens`` of them; once is enough for a request."""
        return self._encoder.untrusted([query], self.profile.query_tokens, lead=self._leads[Place.QUERY])[0]

    def prompts(self, query: TokenIds, passages: Sequence[TokenIds], *, owner: str | None = None) -> tuple[Prompt, ...]:
        """What ``owner`` asks a window with: one prompt, or one for each of its passages where grades are asked for.

        Raises:
            ValueError: more passages than ``longest``.
        """
        asked = len(passages) if self.profile.reading is Reading.GRADED else 1
        return tuple(self.build(query, passages, asked=place, owner=owner) for place in range(asked))

    def build(
        self, query: TokenIds, passages: Sequence[TokenIds], *, asked: int = 0, owner: str | None = None
    ) -> Prompt:
        """A prompt about a window: passage i is shown under label i. ``asked`` is the one to be graded, if any is.

        Passages that together would overrun the context are cut to the largest equal length that fits.

        Raises:
            ValueError: more passages than ``longest``.
        """
        if len(passages) > self.longest:
            raise ValueError(f"{len(passages)} passages in a prompt of at most {self.longest}")
        if self.profile.reading is Reading.ENCODED:
            return Prompt(query, (0,), tuple(passages), owner)
        frame = self._frames[len(passages)]
        room = self.profile.context_tokens - self.tokens_beside_passages(len(passages), len(query))
        cut = _even_cut([len(passage) for passage in passages], room)
        parts = [*_fill(frame.before, query)]
        for around, passage in zip(self._labelled, passages, strict=False):
            parts.extend(_fill(around, passage[:cut]))
        parts.extend(_fill(self._ends.get((len(passages), asked), frame.after), query))
        return Prompt(np.concatenate(parts), self._asked_for(len(passages)), self._alone(passages), owner)

    def _asked_for(self, shown: int) -> tuple[int, ...]:
        """Ids of the labels shown, or of all that the model may answer with where it answers with no labels."""
        return self.label_ids if self.profile.reading.absolute else self.label_ids[:shown]

    def tokens_beside_passages(self, passages: int, query_tokens: int) -> int:
        """Tokens of a window's prompt but for the passages: template, labels, and the query in its places."""
        return self._frames[passages].tokens(query_tokens) + self._label_tokens[passages]

    def _encode(self, documents: Sequence[Document], budget: int) -> list[TokenIds]:
        texts = [f"{document.title} {document.text}".strip() for document in documents]
        return self._encoder.untrusted(texts, budget, lead=self._leads[Place.TEXT])

    def _alone(self, passages: Sequence[TokenIds]) -> tuple[TokenIds, ...]:
        """Passages as they are embedded on their own."""
        if self._passage_end is None:
            return ()
        return tuple(np.concatenate([passage, self._passage_end]) for passage in passages)

    def _find_labels(self) -> tuple[int, ...]:
        profile = self.profile
        if not profile.reading.by_token:
            return tuple(range(len(profile.labels)))
        *_, end = ["", *pieces(self._with_values(profile.template.suffix, profile.window, profile.labels[0]))]
        found = tuple(self._encoder.following("" if end == Place.QUERY else end, label) for label in profile.answers)
        if len(set(found)) < len(found):
            raise ProfileError(f"profile {profile.name}: labels: two of them are the same token")
        return found

    def _frame(self, count: int, asked: str) -> _Frame:
        template = self.profile.template
        return _Frame(
            before=self._segments(self._with_values(template.prefix, count, asked), Place.QUERY, opening=True),
            after=self._segments(self._with_values(template.suffix, count, asked), Place.QUERY),
        )

    def _around_text(self, label: str) -> _Segments:
        return self._segments(filled(self.profile.template.passage, [(Place.LABEL, label)]), Place.TEXT)

    def _with_values(self, template: str, count: int, asked: str) -> str:
        profile = self.profile
        values = [(Place.COUNT, str(count)), (Place.INSTRUCTION, profile.instruction), (Place.ASKED, asked)]
        return filled(template, [*values, (Place.EXAMPLES, "".join(map(self._shown, profile.examples)))])

    def _shown(self, example: Example) -> str:
        """An example as the template shows it."""
        profile = self.profile
        passages = (
            filled(profile.template.passage, [(Place.LABEL, label), (Place.TEXT, text)])
            for label, text in zip(profile.labels, example.passages, strict=False)
        )
        values = [(Place.QUERY, example.query), (Place.PASSAGES, "".join(passages)), (Place.ANSWER, example.answer)]
        return filled(profile.template.example, values)

    def _segments(self, template: str, place: Place, *, opening: bool = False) -> _Segments:
        """``template`` around ``place``; ``opening`` says that a prompt begins with it."""
        found = pieces(template)
        segments: list[TokenIds | None] = []
        for number, piece in enumerate(found):
            literal = piece.removesuffix(self._leads[place]) if number + 1 < len(found) else piece
            encode = self._encoder.trusted if opening and number == 0 else self._encoder.continuing
            segments.append(None if piece == place else encode(literal))
        return tuple(segments)

    def _check_opening(self) -> None:
        """Engines take the ids as they are: what the tokenizer would put before a text, the template has to.

        Encoders put their own marks around each text.
        """
        if self.profile.reading is Reading.ENCODED:
            return
        opening, frame = list(self._encoder.opening), self._frames[0]
        segments = (*frame.before, *self._labelled[0], *frame.after)
        ids = [id_ for segment in segments if segment is not None for id_ in segment.tolist()]
        if opening and (ids[: len(opening)] != opening or ids.count(opening[0]) > opening.count(opening[0])):
            spelt = "".join(map(self._encoder.spelling, opening))
            raise ProfileError(f"profile {self.profile.name}: template.prefix: a prompt begins with {spelt}, once")

    def _find_longest(self) -> int:
        """More than a window only if each passage keeps ``_WORTH_READING`` tokens beside the longest query."""
        profile = self.profile
        room = [
            profile.context_tokens - self.tokens_beside_passages(count, profile.query_tokens)
            for count in range(len(self._frames))
        ]
        worth = min(_WORTH_READING, profile.passage_tokens)
        return max(profile.window, *(count for count, left in enumerate(room) if left >= count * worth))

    def _check_room(self) -> None:
        profile = self.profile
        fixed = self.tokens_beside_passages(profile.window, profile.query_tokens)
        if fixed + profile.window > profile.context_tokens:
            raise ProfileError(
                f"profile {profile.name}: context_tokens: template, query and labels of a full window take {fixed} "
                f"tokens, which leaves too little of {profile.context_tokens} for {profile.window} passages"
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """What stands before and after a certain number of passages."""

    before: _Segments
    after: _Segments

    def tokens(self, query_tokens: int) -> int:
        """Length of both with a query of that length in its places."""
        segments = self.before + self.after
        return _literal_tokens(segments) + sum(segment is None for segment in segments) * query_tokens


def _literal_tokens(segments: _Segments) -> int:
    return sum(len(segment) for segment in segments if segment is not None)


def _fill(segments: _Segments, ids: TokenIds) -> Iterator[TokenIds]:
    return (ids if segment is None else segment for segment in segments)


def _even_cut(lengths: Sequence[int], room: int) -> int:
    """The largest length such that passages no longer than that, and longer ones cut to it, fit ``room`` together."""
    for shorter, length in enumerate(sorted(lengths)):
        share = room // (len(lengths) - shorter)
        if length > share:
            return share
        room -= length
    return max(lengths, default=0)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
