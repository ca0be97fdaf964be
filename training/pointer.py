"""Sets the last layer up as a pointer, by least squares on a checkpoint: compare vectors, look at labels, name them.

Trained from elsewhere, the last position learns slowly to look and to name. Both are linear in what the layers below
hold, so they can be set right in one go, after which training goes on:

- queries and keys are the probe's vectors of query and passage in a random rotation, a slice for each head. Scores are
  kept small: where softmax is nearly linear, the mean over heads is the cosine, though each slice alone is noisy;
- one dimension of each head says "closing label" and keeps attention off everything else;
- values say which label a state belongs to, outputs turn that into the directions that raise this label's logit alone;
- the feed-forward part starts silent, and the mean final state leaves the last bias, so that no label is favoured.

``--centre`` leaves the heads as they are and only takes the mean out: the last step of a run.

usage: python -m training.pointer --data DIR --checkpoint checkpoint.pt [--centre] [--gain 1]
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.model import HEADS, Decoder, Layer, Probe, load_decoder, take
from training.settings import load_settings
from training.train import Mixture
from training.vocabulary import LABEL_IDS
from training.windows import SERVED_LABELS, Batch, Shape, batches

_SAMPLE = [Shape(passages=count, cut=cut, hard=0.5, shift=1.0) for count in (6, 10, 20) for cut in range(24, 50, 4)]
_RIDGE = 0.01
_SHARPNESS = 4.0  # of a cosine of 1 in a head's score
_MARK = 10.0  # what a closing label has over other positions in a head's score

States = list[tuple[Batch, Tensor]]
"""Batches with their hidden states before the last layer, [batch, tokens, width]."""


def last_layer(model: Decoder) -> Layer:
    """The layer that becomes a pointer."""
    layer = model.layers[-1]
    assert isinstance(layer, Layer)
    return layer


def states_of(model: Decoder, mixture: Mixture) -> States:
    """Windows of the served size and their states."""
    found = [batch for shape in _SAMPLE for batch in batches(mixture.sample(shape, 6), 8192)]
    return [(batch, model(batch.ids, batch.last)[1]) for batch in found]


def solved(inputs: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of the ridge regression of ``wanted`` [states, out] on ``inputs`` [states, width]."""
    middle, goal = inputs.mean(0), wanted.mean(0)
    centred = inputs - middle
    gram = centred.T @ centred + _RIDGE * len(inputs) * torch.eye(inputs.shape[1])
    weight = torch.linalg.solve(gram, centred.T @ (wanted - goal)).T
    return weight, goal - weight @ middle


def set_up(model: Decoder, probe: Probe, states: States, strength: float) -> None:
    """Makes the last layer compare, look and name."""
    closing = torch.cat([take(before, batch.closing).float().flatten(0, 1) for batch, before in states])
    others = torch.cat([take(before, batch.others).float().flatten(0, 1) for batch, before in states])
    ending = torch.cat([take(before, batch.last[:, None])[:, 0].float() for batch, before in states])
    labels = torch.cat([batch.labels.flatten() for batch, _ in states]) - LABEL_IDS[0]
    layer, width = last_layer(model), closing.shape[1]
    size, compared = width // HEADS, width // HEADS - 1

    lengths = probe.query(ending).norm(dim=-1).mean() * probe.passage(closing).norm(dim=-1).mean()
    scale = math.sqrt(_SHARPNESS * width * math.sqrt(size) / compared / float(lengths))
    rotation = torch.linalg.qr(torch.randn(width, width))[0] * scale
    marks = torch.cat([torch.ones(len(closing), 1), torch.zeros(len(others), 1)])
    mark, mark_bias = solved(torch.cat([closing, others]), marks)
    name, name_bias = solved(closing, F.one_hot(labels, SERVED_LABELS).float())
    rows = model.tokens[LABEL_IDS[:SERVED_LABELS]]
    raising = torch.linalg.pinv(rows - rows.mean(0)) * closing.std() * strength / HEADS

    for weight in (layer.value.weight, layer.value.bias, layer.output.weight, layer.output.bias):
        weight.zero_()
    for head in range(HEADS):
        start = head * size
        part, last = slice(start, start + compared), start + compared
        for linear, vectors in ((layer.query, probe.query), (layer.key, probe.passage)):
            linear.weight[part] = rotation[part] @ vectors.weight
            linear.bias[part] = rotation[part] @ vectors.bias
        layer.query.weight[last], layer.query.bias[last] = 0.0, math.sqrt(size)
        layer.key.weight[last], layer.key.bias[last] = _MARK * mark[0], _MARK * mark_bias[0]
        named = slice(start, start + SERVED_LABELS)
        layer.value.weight[named], layer.value.bias[named] = name, name_bias
        layer.output.weight[:, named] = raising
    for norm in (layer.attention_norm, layer.output_norm):
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    layer.narrow.weight.zero_()
    layer.narrow.bias.zero_()


def centre(model: Decoder, states: States, gain: float) -> None:
    """Takes the mean final state out of the last bias and spreads the logits by ``gain``."""
    layer = last_layer(model)
    mean = torch.cat([layer.at(before, batch.last)[0].float() for batch, before in states]).mean(0)
    layer.output_norm.bias.sub_(mean).mul_(gain)
    layer.output_norm.weight.mul_(gain)


@torch.no_grad()
def main() -> None:
    """Edits a checkpoint in place."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "checkpoint"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--centre", action="store_true", help="only take the mean out")
    parser.add_argument("--gain", type=float, default=1.0, help="factor on the logits")
    parser.add_argument("--strength", type=float, default=60.0, help="how far attention moves the final state")
    arguments = parser.parse_args()
    settings, model, probe = load_settings(), load_decoder(arguments.checkpoint), Probe()
    checkpoint = torch.load(arguments.checkpoint, weights_only=True)
    probe.load_state_dict(checkpoint["probe"])
    torch.manual_seed(settings.seed)
    states = states_of(model, Mixture(arguments.data, settings, np.random.default_rng(settings.seed)))
    if not arguments.centre:
        set_up(model, probe, states, arguments.strength)
    centre(model, states, arguments.gain)
    torch.save(checkpoint | {"model": model.state_dict()}, arguments.checkpoint)


if __name__ == "__main__":
    main()
