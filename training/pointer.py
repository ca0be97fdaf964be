"""Makes the last two layers of a trained checkpoint point: solved, not trained.

What a window's states hold once training is over is what a probe reads (``probe.py``): at a closing label its passage's
vector, at the last position the query's. Their product has to become the label's logit, without loss.

The feed-forward part of the layer that gathers does three things, each exact whatever a token's scale:

- it **clears** the directions in which closing states vary least: gelu(z) - gelu(-z) = z, so two units compute any
  linear function. Otherwise what passages of one window have in common would favour single labels more than attention
  does;
- it **names**: writes there in which slot a state stands. gelu(z - 1) - gelu(z - 3) is 2 wherever z is large;
- it **bars** all but closing labels, in a dimension that is otherwise zero, so that those are untouched, and lets the
  first position **rest** the attention: its state is the same in every prompt.

The last layer's heads compare the probe's vectors of query and passage, a slice of a rotation each. Scores stay small:
where softmax is nearly linear, the mean over heads is the cosine, though each slice alone is noisy. Values are the
names, and outputs raise each one's logit. Everything is solved for the rounded parameters of the exported files.

A passage's logit has to mean the same whatever stands beside it, so that windows of one list can be read in one round.
Two things would make it relative. Shares of attention are shares of a sum: nearly all of it rests on the first
position, and so the sum is hardly the passages'. And a norm divides by how long a state is: outputs add the same large
number to a state's marks, which no label's row has, so that it is always equally long. And where an engine tells logits
less the logarithm of the sum over all words, the reference tells how much that was: its row is zero, and so its logit.

usage: python -m training.pointer --data DIR --checkpoint checkpoint.pt --out pointing.pt
"""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.carve import isolate
from training.mixture import Mixture
from training.model import HEADS, Decoder, Layer, gathering_layer, last_layer, load_decoder, take
from training.probe import Probe, held, relearnt
from training.rounding import round_off, rounded_for
from training.settings import Settings, load_settings
from training.slots import CODE_WIDTH, CONSTANT, FRONTAL, MARKS, ZERO, marks
from training.vocabulary import LABEL_IDS, REFERENCE_ID
from training.windows import SERVED_LABELS, Batch, Shape, batches

# unknown pieces have states of their own: where none were seen, the last position looked at them instead of at labels
_SAMPLE = [(Shape(20, 78, 0.7, strange=0.06), 240), (Shape(2, 78, 0.5, strange=0.06), 800)]
_SHARPNESS = 0.6  # of a cosine of 1 in a head's score
_REST = 2000.0  # times the attention that a passage gets rests on the first position
_CHANGE = 50.0  # what the passages of a window differ by, in what a state says of each label before the last norm
_STEADY = 30.0  # times that, what makes all states equally long
_NAMED = 8.0  # what a name adds to a state
_BARRED = 10.0  # what a bar takes from a state
_BAR_SCORE = 6.0  # times that, from a head's score
_STEEP = 200.0  # of the steps that name
_CUT = 80.0  # of the step that bars
_OWN_CODE = 0.75  # between a slot's own code, 1, and its nearest, 0.5
_STEP = torch.tensor([-1.0, -3.0])
_RESTING = 0.05  # of the states that keys are learnt from: the first position's, which should not ask for any query
_DROWNING = 20000.0  # in two marks, of a state whose numbers are about 1
_NOT_LATER = 0.25  # of what tells later states from the first position's, which is about 0 there and about 1 later
_SHOWN = 40  # batches that tell closing labels, and the first position, from all else
_ROUNDS = 6  # of fitting what tells them
_SPREAD = 2.0  # of the logits in a window, on the mean


@dataclass(frozen=True)
class Sampled:
    """Windows, their states before the gathering layer's feed-forward part, and the vectors that the probe reads."""

    batch: Batch
    states: Tensor
    passages: Tensor
    queries: Tensor


def sampled(model: Decoder, probe: Probe, windows: list[Batch]) -> list[Sampled]:
    """What there is before anything is changed, in float32.

    A hundredth that a name is heard too loudly is a tenth of what passages differ by, and bfloat16's rounding is alike
    in all windows: solved for that, slots would be favoured wherever anything else is computed with.
    """
    layer, found = gathering_layer(model), []
    for batch in windows:
        states = model.gathered(batch.ids, torch.float32)
        found.append(Sampled(batch, states, *probe(*held(batch, layer.fed(states)))))
    return found


@torch.no_grad()
def point(model: Decoder, probe: Probe, windows: list[Batch]) -> None:
    """Edits the last two layers in place; ``windows`` is the sample they are solved on."""
    isolate(model)
    round_off(model)
    sample = sampled(model, probe, windows)
    layer = gathering_layer(model)
    sample = _evened(layer, sample)
    names = _quiet(torch.cat([take(found.states, found.batch.closing).float().flatten(0, 1) for found in sample]))
    for part in (layer.widen, layer.narrow):
        part.weight.zero_()
        part.bias.zero_()
    _clear(layer, 0, names)
    _name(layer, 2 * SERVED_LABELS, names)
    _bar(layer, 4 * SERVED_LABELS, sample)
    _rest(layer, 4 * SERVED_LABELS + 2, sample)
    round_off(model)
    _compare(model, probe, sample)
    _look_and_name(model, names)
    model.tokens[REFERENCE_ID] = 0
    round_off(model)
    _say(model, [found for found in sample if found.batch.labels.shape[1] == SERVED_LABELS])
    round_off(model)


def _evened(layer: Layer, sample: list[Sampled]) -> list[Sampled]:
    """Makes all states as long as each other: the norm's gain and bias are left to what reads them."""
    norm = layer.attention_norm
    gain, bias = norm.weight.clone(), norm.bias.clone()
    norm.weight.fill_(1.0)
    norm.bias.zero_()
    return [replace(found, states=((found.states.float() - bias) / gain).to(found.states.dtype)) for found in sample]


def _quiet(states: Tensor) -> Tensor:
    """The directions [width, labels] in which ``states`` vary least; not marks, nor the mean, which the norm takes."""
    free = states[:, :-MARKS]
    moments = free.T @ free
    directions = torch.linalg.eigh(moments + moments.trace())[1][:, :SERVED_LABELS]
    return F.pad(directions, (0, 0, 0, MARKS))


def _clear(layer: Layer, first: int, names: Tensor) -> None:
    for i, direction in enumerate(names.T):
        units = slice(first + 2 * i, first + 2 * i + 2)
        layer.widen.weight[units] = torch.stack([direction, -direction])
        layer.narrow.weight[:, units] = torch.stack([-direction, direction], 1)


def _name(layer: Layer, first: int, names: Tensor) -> None:
    start = names.shape[0] - MARKS
    for i, code in enumerate(marks()[1 : SERVED_LABELS + 1, :CODE_WIDTH]):
        units = slice(first + 2 * i, first + 2 * i + 2)
        layer.widen.weight[units, start : start + CODE_WIDTH] = _STEEP * code
        layer.widen.weight[units, start + CONSTANT] = -_STEEP * _OWN_CODE
        layer.widen.weight[units, start + ZERO] = -_STEEP * (code.sum() - _OWN_CODE)
        layer.widen.bias[units] = _STEP
        layer.narrow.weight[:, units] = _NAMED / 2 * torch.stack([names[:, i], -names[:, i]], 1)


def _bar(layer: Layer, first: int, sample: list[Sampled]) -> None:
    shown = sample[:: max(1, len(sample) // _SHOWN)]
    states = torch.cat([found.states.float().flatten(0, 1) for found in shown])
    other = torch.cat([_is_other(found.batch).flatten() for found in shown])
    weight, bias = telling(states, other)
    units = slice(first, first + 2)
    layer.widen.weight[units] = _CUT * weight
    layer.widen.bias[units] = _CUT * (bias - 0.5) + _STEP + 1
    layer.narrow.weight[FRONTAL - MARKS, units] = _BARRED / 2 * torch.tensor([-1.0, 1.0])


def _rest(layer: Layer, first: int, sample: list[Sampled]) -> None:
    """Draws attention to the first position by what was barred: as much as to ``_REST`` passages.

    What it adds is found by halving, as the norm after it divides by what comes out. The rest of that state is drowned
    in two marks: whatever little it said of a label would be heard as often as attention rests on it.
    """
    shown = sample[:: max(1, len(sample) // _SHOWN)]
    states = torch.cat([found.states.float().flatten(0, 1) for found in shown])
    later = torch.cat([torch.arange(found.batch.ids.shape[1]).repeat(len(found.batch.ids)) for found in shown]) > 0
    weight, bias = telling(states, later)
    units = slice(first, first + 2)
    layer.widen.weight[units] = -_CUT * weight
    layer.widen.bias[units] = _CUT * (_NOT_LATER - bias) + _STEP + 1
    layer.narrow.weight[-MARKS, units] = _DROWNING / 2 * torch.tensor([1.0, -1.0])
    layer.narrow.weight[1 - MARKS, units] = _DROWNING / 2 * torch.tensor([-1.0, 1.0])
    low, high, wanted = 0.0, _DROWNING, math.log(_REST) / _BAR_SCORE
    for _ in range(30):
        middle = (low + high) / 2
        layer.narrow.weight[FRONTAL - MARKS, units] = middle / 2 * torch.tensor([1.0, -1.0])
        found = layer.fed(sample[0].states[0, :1].float())[0]
        low, high = (middle, high) if found[FRONTAL - MARKS] - found[ZERO - MARKS] < wanted else (low, middle)


def _is_other(batch: Batch) -> Tensor:
    return torch.ones(batch.ids.shape, dtype=torch.bool).scatter(1, batch.closing, False)


def telling(states: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of what is above .75 for ``other`` states [states] and below .25 for the rest.

    Least squares in rounds: those on the wrong side count more each time, those far on the right side less.
    """
    inputs = torch.cat([states, torch.ones(len(states), 1)], 1)
    weights = torch.where(other, 1.0, other.sum() / (~other).sum() / 2)
    found = torch.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):
        gram = inputs.T @ (inputs * weights[:, None]) + 1e-4 * len(inputs) * torch.eye(inputs.shape[1])
        found = torch.linalg.solve(gram, inputs.T @ (weights * other))
        said = inputs @ found
        wrong = torch.where(other, 0.75 - said, said - 0.25).clamp(0, 1)
        weights = weights * (1 + 20 * wrong) * torch.where(other & (said > 1.3), 0.5, 1.0)
    return found[:-1], found[-1]


def _compare(model: Decoder, probe: Probe, sample: list[Sampled]) -> None:
    """Queries and keys: the vectors as the probe read them, learnt anew from the cleared and named states."""
    layer, last, width = gathering_layer(model), last_layer(model), model.tokens.shape[1]
    ends = [held(found.batch, layer.fed(found.states)) for found in sample]
    closing = torch.cat([closing.flatten(0, 1) for closing, _ in ends])
    passages = torch.cat([found.passages.flatten(0, 1) for found in sample])
    queries = torch.cat([found.queries for found in sample])
    resting = layer.fed(sample[0].states[0, :1].float()).expand(int(_RESTING * len(closing)), -1)
    read = relearnt(
        probe.passage.weight, torch.cat([closing, resting]), torch.cat([passages, torch.zeros_like(resting)])
    )
    asked = relearnt(probe.query.weight, torch.cat([ending for _, ending in ends]), queries)

    size = width // HEADS
    compared = size - 1
    basis = torch.linalg.eigh(passages.T @ passages)[1][:, -HEADS * compared :]
    rotation = torch.linalg.qr(torch.randn(HEADS * compared, HEADS * compared))[0] @ basis.T
    rotation *= math.sqrt(_SHARPNESS * HEADS * math.sqrt(size))
    for linear, (weight, bias) in ((last.query, asked), (last.key, read)):
        for head in range(HEADS):
            slices = rotation[head * compared : (head + 1) * compared]
            linear.weight[head * size : head * size + compared] = slices @ weight
            linear.bias[head * size : head * size + compared] = slices @ bias
    bars = slice(compared, None, size)
    last.query.weight[bars], last.query.bias[bars] = 0.0, math.sqrt(size)
    last.key.weight[bars], last.key.bias[bars] = 0.0, 0.0
    last.key.weight[bars, FRONTAL - MARKS], last.key.weight[bars, ZERO - MARKS] = _BAR_SCORE, -_BAR_SCORE


def _look_and_name(model: Decoder, names: Tensor) -> None:
    """Values: the name of each slot. The last layer's second half leaves what comes as it is."""
    layer, last = gathering_layer(model), last_layer(model)
    size = len(names) // HEADS
    read = names.T / layer.output_norm.weight
    last.value.weight.zero_()
    last.value.bias.zero_()
    for head in range(HEADS):
        named = slice(head * size, head * size + SERVED_LABELS)
        last.value.weight[named], last.value.bias[named] = read, -read @ layer.output_norm.bias
    for norm in (last.attention_norm, last.output_norm):
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    for linear in (last.widen, last.narrow):
        linear.weight.zero_()
        linear.bias.zero_()


def _say(model: Decoder, sample: list[Sampled]) -> None:
    """Outputs: what raises the logit of each label alone, and what makes all states equally long.

    Names are not heard equally well: a label's is amplified by as much as it is heard less than the cosines of its
    passages would have it. Logits become as large as wanted, and zero on the mean.
    """
    layer, last, width = gathering_layer(model), last_layer(model), model.tokens.shape[1]
    heard = torch.cat([_heard(last, layer.fed(found.states), found.batch) for found in sample])
    cosines = torch.cat([(found.passages * found.queries[:, None]).sum(-1) for found in sample])
    slope, base = _line(cosines.flatten(), heard.flatten())
    amplified = (base + slope * cosines).mean(0) / heard.mean(0)
    heard = heard * amplified
    louder = _CHANGE / heard.std(-1).mean()
    # one direction for each label: its row has a product of 1 with it, the rows of others none
    raising = torch.linalg.pinv(model.tokens[LABEL_IDS[:SERVED_LABELS]])
    said = torch.cat([louder / HEADS * amplified * raising, -louder * heard.mean() * raising.sum(1, keepdim=True)], 1)
    said = rounded_for(said, torch.cat([model.tokens[LABEL_IDS[:SERVED_LABELS]], torch.ones(1, width)]))
    last.output.weight.zero_()
    for head in range(HEADS):
        named = slice(head * width // HEADS, head * width // HEADS + SERVED_LABELS)
        last.output.weight[:, named] = said[:, :-1]
    last.output.bias.copy_(said[:, -1])
    length = _STEADY * _CHANGE * math.sqrt(SERVED_LABELS) * raising.norm(dim=0).mean()
    last.output.bias[-MARKS], last.output.bias[1 - MARKS] = length, -length
    last.output_norm.weight.fill_(_SPREAD / _CHANGE * length * math.sqrt(2 / width))


def _heard(last: Layer, before: Tensor, batch: Batch) -> Tensor:
    """What the heads hear of each name at the last position, their mean: [windows, labels]."""
    taken = last.taken(before, batch.last[:, None])[:, 0].float()
    return taken.unflatten(1, (HEADS, -1)).mean(1)[:, :SERVED_LABELS]


def _line(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and offset of the line through points, by least squares."""
    apart = x - x.mean()
    slope = (apart * y).sum() / apart.square().sum()
    return slope, y.mean() - slope * x.mean()


def pointed(checkpoint: Path, data: Path, settings: Settings) -> Decoder:
    """The decoder of a checkpoint, its last two layers solved on windows of the prepared collections in ``data``."""
    model, probe = load_decoder(checkpoint), Probe()
    probe.load_state_dict(torch.load(checkpoint, weights_only=True)["probe"])
    torch.manual_seed(settings.seed)
    mixture = Mixture(data, settings, np.random.default_rng(settings.seed))
    point(model, probe, [batch for shape, count in _SAMPLE for batch in batches(mixture.sample(shape, count), 8192)])
    return model


def main() -> None:
    """Points a trained checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "checkpoint", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    model = pointed(arguments.checkpoint, arguments.data, load_settings())
    torch.save({"model": model.state_dict()}, arguments.out)


if __name__ == "__main__":
    main()
