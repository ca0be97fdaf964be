"""Reads a model folder back: the inverse of ``export.py``, so that the weights somebody has are enough to go on from.

The position table is written out for the whole context; it falls apart again into the rows of places and of slots.
What names and points (``pointer.py``) is read as it is: see ``unpoint.py``.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from training.errors import UnusableInput
from training.export import OPT_NAMES, OPT_OFFSET
from training.model import Decoder
from training.slots import CLOSING, FRONT, LONGEST, MARKS, SLOT, SLOTS, marks

_PREFIX = "model.decoder."
_OFF = 0.02  # a row of the table is a sum that was rounded to bfloat16, of rows that were


def read_model(folder: Path) -> Decoder:
    """The decoder of an exported model, in float32; what was rounded stays so.

    Raises:
        UnusableInput: there is no such model, or it is not one with slots.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        stored = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
        table = stored.pop(f"{_PREFIX}embed_positions.weight")[OPT_OFFSET:]
        places, slots = parted(table)
        weights = {"places": places, "slots": slots, "tokens": stored.pop(f"{_PREFIX}embed_tokens.weight")}
        vocab, width = weights["tokens"].shape
        model = Decoder(vocab, width, config["ffn_dim"], config["num_hidden_layers"])
        model.load_state_dict(weights | {_own_name(name): value for name, value in stored.items()})
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise UnusableInput(f"{folder}: not a model that training.export wrote: {error}") from error
    except UnusableInput as error:
        raise UnusableInput(f"{folder}: {error}") from error
    return model


def _own_name(name: str) -> str:
    """``model.decoder.layers.0.fc1.weight`` is ``layers.0.widen.weight``.

    Raises:
        KeyError: no parameter of ours is called so.
    """
    ours = {theirs: own for own, theirs in OPT_NAMES.items()}
    layer, _, rest = name.removeprefix(f"{_PREFIX}layers.").partition(".")
    part, _, kind = rest.rpartition(".")
    return f"layers.{layer}.{ours[part]}.{kind}"


def parted(table: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of places [SLOT, width] and of slots [SLOTS, width] whose sums are ``table`` [LONGEST, width].

    Only the sums matter: the mean over the slots of passages goes to the places, but for the marks, which are known.

    Raises:
        UnusableInput: the table is not made of slots.
    """
    if len(table) != LONGEST:
        raise UnusableInput(
            f"not a model with slots: it knows {len(table)} positions and not {LONGEST};"
            " one of another recipe cannot be trained on"
        )
    front, behind = table[:FRONT], table[FRONT:].view(SLOTS - 1, SLOT, -1)
    places = behind.mean(0)
    places[:, -MARKS:] = 0
    places[SLOT - 1, CLOSING - MARKS] = 1
    slots = torch.cat([(front - places[:FRONT]).mean(0, keepdim=True), (behind - places).mean(1)])
    slots[:, -MARKS:] = marks()
    sums = torch.cat([places[:FRONT] + slots[0], (places + slots[1:, None]).flatten(0, 1)])
    if not torch.allclose(sums, table, rtol=_OFF, atol=_OFF):
        raise UnusableInput("not a model with slots: its positions are no sums of a place and a slot")
    return places, slots
