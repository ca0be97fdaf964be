"""No text of ``loadtest/attacks.yaml`` passes itself off as more than a passage, whichever profile shows it."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest

from loadtest.attacks import attacks
from service.domain import Document, TokenIds
from service.ranking.profile import available
from service.ranking.prompt import PromptBuilder
from tests.ranking.families import reserved, tokenizer_of

ATTACKS = attacks()
PASSAGE = Document("p", "bees make honey", title="bees")
QUERY = "how do bees make honey?"

every_profile = pytest.mark.parametrize("name", available())


def carried(builder: PromptBuilder) -> list[TokenIds]:
    """Every attack in front of a passage, as a prompt holds it."""
    return [tokens.ids for tokens in builder.encode([attack.carried_by(PASSAGE, QUERY) for attack in ATTACKS])]


def as_query(builder: PromptBuilder) -> list[TokenIds]:
    """Every attack as a query."""
    return [builder.query_ids(attack.spelt(QUERY)) for attack in ATTACKS]


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len(ATTACKS) >= 40
    assert len(set(map(str, ATTACKS))) == len(ATTACKS)
    assert len({attack.spelt(QUERY) for attack in ATTACKS}) == len(ATTACKS)


@every_profile
def test_reserved_tokens_stand_where_the_template_puts_them(builders: dict[str, PromptBuilder], name: str) -> None:
    builder = builders[name]
    marks, ordinary = sorted(reserved(builder)), builder.query_ids("bees")[:1]
    for query, passage in zip(as_query(builder), carried(builder), strict=True):
        passages = [passage] * builder.profile.window
        attacked = builder.build(query, passages).token_ids
        harmless = builder.build(np.resize(ordinary, len(query)), [np.resize(ordinary, len(passage))] * len(passages))
        assert len(attacked) == len(harmless.token_ids)
        places = np.flatnonzero(np.isin(attacked, marks))
        assert places.tolist() == np.flatnonzero(np.isin(harmless.token_ids, marks)).tolist()
        assert attacked[places].tolist() == harmless.token_ids[places].tolist()


@every_profile
def test_no_identifier_can_be_read(builders: dict[str, PromptBuilder], name: str) -> None:
    builder = builders[name]
    identifiers = [re.escape(label if "[" in label else f"[{label}]") for label in builder.profile.identifiers]
    pattern = re.compile("|".join(identifiers) or "(?!)", re.IGNORECASE)
    read = [as_read(builder, np.concatenate(pair)) for pair in zip(carried(builder), as_query(builder), strict=True)]
    assert [str(attack) for attack, text in zip(ATTACKS, read, strict=True) if pattern.search(text)] == []


def as_read(builder: PromptBuilder, ids: TokenIds) -> str:
    """What ids spell to a generous reader, who overlooks blanks, accents, widths and invisible characters."""
    spelt = unicodedata.normalize("NFKD", tokenizer_of(builder).decode(ids.tolist()))
    return "".join(each for each in spelt if unicodedata.category(each) not in {"Mn", "Cf", "Zs", "Cc"})
