"""Slots: every passage stands in a stretch of the prompt that is always equally long: its place says which one it is.

A causal decoder that reads twenty passages one after the other lets each attend to all before it, and a small model
that must learn not to learns little else. With fixed places the position table can say it instead: the rows of a slot
carry its code in a few dimensions of their own, and queries and keys compare codes. The scores of another slot's tokens
are lowered by 12 to 50 (``carve.py``); the first slot, where the query stands, is hidden less from some heads.
Texts that are shorter than their slot are read again until it is full: a causal model knows more the second time.

Codes are the 24 vertices of the 24-cell, at least 60 degrees apart, so four dimensions are enough. A fifth is constant:
score = strength * (code · code' - 1) is zero within a slot whatever the layer norms do to a token's scale; and a sixth
is zero: it tells by how much they moved all dimensions of a token.
"""

from itertools import combinations, product

import torch
from torch import Tensor

FRONT = 32
"""Tokens of the first slot: [QUERY] and the beginning of the query."""
SLOT = 80
"""Tokens of a passage's slot with both labels."""
AGAIN = 32
"""Tokens of the query behind the passages, or more if it is longer."""
SLOTS = 22
"""The query's, twenty passages', and the one after the last, where the query stands again."""
LONGEST = FRONT + (SLOTS - 1) * SLOT

CODE_WIDTH = 4
MARKS = CODE_WIDTH + 4
"""The last dimensions of every state say where it stands: the slot's code, then the four that follow."""
CONSTANT, FRONTAL, ZERO, CLOSING = range(CODE_WIDTH, MARKS)


def slot_of(positions: Tensor) -> tuple[Tensor, Tensor]:
    """The slot of each position, and the place within it."""
    behind = positions - FRONT
    front = behind < 0
    return torch.where(front, 0, 1 + behind // SLOT), torch.where(front, positions, behind % SLOT)


def marks() -> Tensor:
    """Code, constant and flag of the first of every slot, [slots, marks]. The first one's code is zero."""
    codes = [
        [signs[axes.index(axis)] * 0.5**0.5 if axis in axes else 0.0 for axis in range(CODE_WIDTH)]
        for signs in product((1.0, -1.0), repeat=2)
        for axes in combinations(range(CODE_WIDTH), 2)
    ]
    table = torch.zeros(SLOTS, MARKS)
    table[1:, :CODE_WIDTH] = torch.tensor(codes)[: SLOTS - 1]
    table[:, CONSTANT] = 1.0
    table[0, FRONTAL] = 1.0
    return table


def filled(ids: list[int], room: int) -> list[int]:
    """``ids`` read again and again until ``room`` tokens are full; nothing where there is nothing to read."""
    return (ids * (room // len(ids) + 1))[:room] if ids else [0] * room
