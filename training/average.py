"""The mean of checkpoints of one line of training, number by number.

What single steps leave in the weights is chance as much as learning, even where the learning rate has come to its end;
a mean of the beginning and the end of a run, or of runs that began alike, keeps what they agree on (Wortsman et al.,
ICML 2022). Reading such a mean costs what reading one of them costs. The pointer is to be solved afterwards.

usage: python -m training.average --checkpoints checkpoint.pt checkpoint.pt ... [--shares N N ...] --out checkpoint.pt
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.errors import UnusableInput

State = Mapping[str, Tensor]


def mean(states: Sequence[State], shares: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of each tensor; numbers that are equal in all of them stay exactly as they are.

    Raises:
        UnusableInput: they are not of one shape, or shares are not one positive number for each.
    """
    if len(shares) != len(states) or min(shares, default=0.0) <= 0:
        raise UnusableInput(f"shares: {len(shares)} given for {len(states)} checkpoints; each has to be positive")
    found, sum_ = {name: value.clone() for name, value in states[0].items()}, shares[0]
    for state, share in zip(states[1:], shares[1:], strict=True):
        sum_ += share
        _check_alike(found, state)
        for name, value in found.items():
            found[name] = torch.lerp(value, state[name], share / sum_)
    return found


def _check_alike(first: State, other: State) -> None:
    for name in sorted(first.keys() | other.keys()):
        shapes = [list(state[name].shape) if name in state else None for state in (first, other)]
        if shapes[0] != shapes[1]:
            raise UnusableInput(f"checkpoints: {name} is {shapes[0]} in one and {shapes[1]} in another")


def main() -> None:
    """Writes the mean, model and probe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, nargs="+", required=True)
    parser.add_argument("--shares", type=float, nargs="+", help="of the mean; equal ones unless given")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    states = [torch.load(path, weights_only=True) for path in arguments.checkpoints]
    shares = arguments.shares or [1.0] * len(states)
    try:
        means = {part: mean([state[part] for state in states], shares) for part in ("model", "probe")}
    except UnusableInput as error:
        parser.error(str(error))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(means, arguments.out)


if __name__ == "__main__":
    main()
