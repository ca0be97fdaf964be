"""Trains a listwise reader of vectors and evidence: ``python -m training.reader --help``.

One prompt holds the query's vector and all candidates, as in PE-Rank (arXiv 2406.14848). A candidate is one embedding:
its dense vector and its evidence, both projected, and the embedding of its label. A decoder in Llama's layout reads the
prompt once, and the logits of the labels at the last position are the order. They are added to the evidence as a
profile weighs it, so a reader that has learnt nothing ranks as the profile does.

A causal decoder depends on the order of its prompt. So candidates are sorted by their evidence first, and a shuffled
list gives the same prompt. Rotary frequencies are scaled to zero, and training assigns labels at random.

No reader ships: on collections that were left out it does not beat the evidence (docs/research/reader.md).

The folder written holds ``config.json`` and ``model.safetensors``, an ordinary Llama checkpoint, and
``reader.safetensors`` with the projections and the weights of the evidence.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn.functional import pad
from transformers import LlamaConfig, LlamaForCausalLM

from service.corpus.beir import BeirFolder
from service.deadline import Deadline
from service.domain import Candidate, RetrievalMode
from service.encoders.encoders import SHIPPED as ENCODERS
from service.encoders.encoders import Encoders
from service.evaluation.significance import paired_bootstrap
from service.retrieval.embedding.encoder_embedder import EncoderEmbedder
from service.retrieval.local_first_stage import LocalFirstStage
from training.evidence import DEPTH, Floats, Judged, fit
from training.lora.objective import weighted_ranknet

PROJECTIONS = "reader.safetensors"
FEATURES = 10
_SCALES = np.array([1.0, 0.1, 0.05])  # brings cosine, sparse match and BM25 to about one
_RANK_K = 10  # of reciprocal ranks
_SHARPNESS = 5.0  # of the attention at the start
_SCALING = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 1}
_NO_POSITIONS = {"rope_type": "llama3", "rope_theta": 10_000.0, "factor": 1e9, **_SCALING}


@dataclass(frozen=True)
class Recipe:
    """Every number of a run.

    ``labels`` is the most candidates of a prompt, ``warmup`` a number of steps. ``opening`` is what the final norm is
    set to when training begins.
    """

    labels: int = 100
    width: int = 256
    layers: int = 2
    heads: int = 2
    epochs: int = 3
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 20
    clip: float = 1.0
    opening: float = 0.05
    rank_weight: float = 100.0
    seed: int = 0


@dataclass(frozen=True)
class ReadList:
    """The candidates of one query: ``judged``, and the vectors of the query [dimension] and of the passages."""

    judged: Judged
    query: NDArray[np.float32]
    passages: NDArray[np.float32]


def fused(evidence: Floats, weights: Floats) -> Floats:
    """The weighted sum [candidates]. A matrix product would round by a row's place, this does not."""
    weighted = evidence * weights
    return np.asarray(weighted[:, 0] + weighted[:, 1] + weighted[:, 2])


def canonical(each: ReadList, weights: Floats) -> list[int]:
    """Places of the candidates, best evidence first. Vectors decide ties, so the places in the list never do."""
    sums, evidence = fused(each.judged.evidence, weights), each.judged.evidence
    return sorted(range(len(sums)), key=lambda i: (-sums[i], *evidence[i], each.passages[i].tobytes()))


def features(evidence: Floats, sums: Floats) -> NDArray[np.float32]:
    """What a prompt tells of each candidate, [candidates, ``FEATURES``].

    Scores as they are, reciprocal ranks by each of them, scores normalised over the list, and how far the fused
    evidence is behind the best.
    """
    ranks = 1 + (evidence[:, np.newaxis] < evidence[np.newaxis]).sum(axis=1)
    reciprocal = np.where(evidence > 0, _RANK_K / (_RANK_K + ranks), 0)
    normalised = (evidence - evidence.mean(axis=0)) / (evidence.std(axis=0) + 1e-6)
    behind = (sums - sums.max())[:, np.newaxis] / 10
    return np.concatenate([evidence * _SCALES, reciprocal, normalised, behind], axis=1).astype(np.float32)


class Reader(torch.nn.Module):
    """A decoder, the projections into its input space, and the weights of the evidence.

    Its vocabulary is the labels, then a token for the query and one that ends the prompt.
    """

    def __init__(self, weights: Sequence[float], dimension: int, recipe: Recipe) -> None:
        super().__init__()
        self.labels = recipe.labels
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float64))
        self.vector = torch.nn.Linear(dimension, recipe.width, bias=False)
        self.evidence = torch.nn.Linear(FEATURES, recipe.width)
        self.decoder = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=recipe.labels + 2,
                hidden_size=recipe.width,
                intermediate_size=2 * recipe.width,
                num_hidden_layers=recipe.layers,
                num_attention_heads=recipe.heads,
                max_position_embeddings=recipe.labels + 2,
                tie_word_embeddings=True,
                rope_parameters=_NO_POSITIONS,
            )
        )
        self._begin(recipe.labels + 2)

    @torch.no_grad()
    def _begin(self, room: int) -> None:
        """Set the weights so that the end attends to the best evidence and copies the labels of what it attends to.

        Labels take the first ``room`` dimensions, evidence and vectors the others. The final norm is zero, and so are
        the logits. Random weights did not learn to copy labels in 280 steps.
        """
        width, last = len(self.evidence.bias), self.decoder.model.layers[-1].self_attn
        embeddings = self.decoder.model.embed_tokens.weight
        copied = last.v_proj.weight, last.o_proj.weight, self.decoder.model.norm.weight
        for own in (embeddings, *copied, *self.vector.parameters(), *self.evidence.parameters()):
            own.zero_()
        embeddings[:, :room].fill_diagonal_(width**0.5)
        self.evidence.weight[room : room + FEATURES].fill_diagonal_(1.0)
        torch.nn.init.orthogonal_(self.vector.weight[room + FEATURES :], gain=width**0.5 / 2)
        for head in range(0, width, last.head_dim):
            last.v_proj.weight[head : head + room, :room].fill_diagonal_(1.0)
            last.o_proj.weight[:room, head : head + room].fill_diagonal_(last.head_dim / width)
        last.q_proj.weight[:: last.head_dim, room - 1] = 1.0
        last.k_proj.weight[:: last.head_dim, room + FEATURES - 1] = _SHARPNESS

    def prompt(self, each: ReadList, labels: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        """Input embeddings [2 + candidates, width] of those at ``places``, named by ``labels``."""
        evidence, embed = each.judged.evidence[places], self.decoder.model.embed_tokens
        known = torch.from_numpy(features(evidence, fused(evidence, self.weights.numpy())))
        vectors = self.vector(torch.from_numpy(np.vstack([each.query, each.passages[places]])))
        tokens = embed(torch.cat([torch.tensor([self.labels]), labels, torch.tensor([self.labels + 1])]))
        return tokens + pad(vectors, (0, 0, 0, 1)) + pad(self.evidence(known), (0, 0, 1, 1))

    def logits(self, prompts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits [prompts, vocabulary] at the last position. Shorter prompts are padded in front."""
        longest = max(map(len, prompts))
        padded = torch.stack([pad(each, (0, 0, longest - len(each), 0)) for each in prompts])
        mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in prompts])
        return self.decoder(inputs_embeds=padded, attention_mask=mask, logits_to_keep=1).logits[:, 0]

    @torch.no_grad()
    def scores(self, each: ReadList) -> Floats:
        """The score of each candidate, in the order given. Beyond ``labels`` it is that of the evidence alone."""
        weights = self.weights.numpy()
        places, found = canonical(each, weights)[: self.labels], fused(each.judged.evidence, weights)
        labels = torch.arange(len(places))
        found[places] += self.logits([self.prompt(each, labels, places)])[0, labels].double().numpy()
        return found

    def save(self, folder: Path) -> None:
        """Write the Llama checkpoint, and the projections beside it."""
        self.decoder.save_pretrained(folder)
        own = {name: value for name, value in self.state_dict().items() if not name.startswith("decoder.")}
        save_file(own, folder / PROJECTIONS)

    @classmethod
    def load(cls, folder: Path) -> Reader:
        """What ``save`` wrote."""
        decoder, own = LlamaForCausalLM.from_pretrained(folder), load_file(folder / PROJECTIONS)
        made = decoder.config
        recipe = Recipe(made.vocab_size - 2, made.hidden_size, made.num_hidden_layers, made.num_attention_heads)
        reader = cls(own["weights"].tolist(), own["vector.weight"].shape[1], recipe)
        reader.load_state_dict(own, strict=False)
        reader.decoder = decoder
        return reader.eval()


def loss(scores: torch.Tensor, grades: torch.Tensor, rank_weight: float) -> torch.Tensor:
    """FIRST's weighted RankNet (arXiv 2406.15657), and the cross-entropy of the grades' shares over the list."""
    listwise = -(grades / grades.sum() * scores.log_softmax(0)).sum()
    return listwise + rank_weight * weighted_ranknet(scores, grades)


def train(sets: Sequence[Sequence[ReadList]], recipe: Recipe) -> Reader:
    """A reader of the lists in which some candidates with a label are relevant and some are not."""
    torch.manual_seed(recipe.seed)
    made = fit([[each.judged for each in queries] for queries in sets]).weights
    reader = Reader((made.dense, made.sparse, made.lexical), len(sets[0][0].query), recipe)
    torch.nn.init.constant_(reader.decoder.model.norm.weight, recipe.opening)
    weights = reader.weights.numpy()
    lists = [(each, canonical(each, weights)[: recipe.labels]) for queries in sets for each in queries]
    lists = [(each, places) for each, places in lists if len(set(each.judged.grades[places] > 0)) == 2]
    steps = recipe.epochs * -(-len(lists) // recipe.batch)
    optimizer = torch.optim.AdamW(reader.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / recipe.warmup, 1 - step / steps))
    for batch in (part for _ in range(recipe.epochs) for part in torch.randperm(len(lists)).split(recipe.batch)):
        chosen = [(*lists[i], torch.randperm(recipe.labels)) for i in batch]
        prompts = [reader.prompt(each, labels[: len(places)], places) for each, places, labels in chosen]
        losses = []
        for logits, (each, places, labels) in zip(reader.logits(prompts), chosen, strict=True):
            prior = torch.from_numpy(fused(each.judged.evidence[places], weights)).float()
            grades = torch.from_numpy(each.judged.grades[places]).float()
            losses.append(loss(prior + logits[labels[: len(places)]], grades, recipe.rank_weight))
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), recipe.clip)
        optimizer.step()
        rate.step()
    return reader.eval()


def ndcg(each: ReadList, scores: Floats) -> float:
    """nDCG@10 of the order by ``scores``."""
    return replace(each.judged, evidence=scores[:, np.newaxis]).ndcg([1.0])


def report(name: str, reader: Reader, test: Sequence[ReadList]) -> str:
    """nDCG@10 of the evidence alone and of the reader, with the paired interval of the difference."""
    old = [each.judged.ndcg(reader.weights.tolist()) for each in test]
    new = [ndcg(each, reader.scores(each)) for each in test]
    change = paired_bootstrap(new, old)
    return (
        f"{name}: nDCG@10 {np.mean(old):.3f} -> {np.mean(new):.3f} on {len(test)} test queries"
        f" ({change.mean:+.3f}, 95% {change.low:+.3f} to {change.high:+.3f}, p {change.p:.2g})"
    )


async def read_lists(index: Path, folder: Path, split: str, encoders: Encoders, most: int) -> list[ReadList]:
    """What the index finds for at most ``most`` judged queries of the folder's split, with its evidence and vectors."""
    beir, lists = BeirFolder(folder), []
    queries, qrels = beir.queries(), beir.qrels(split)
    names = [name for name, grades in qrels.items() if name in queries and any(grade > 0 for grade in grades.values())]
    embedder = EncoderEmbedder(encoders)
    stage = LocalFirstStage.open(index, embedder)
    try:
        for place in sorted(np.random.default_rng(0).permutation(len(names))[:most]):
            query, grades = queries[names[place]], qrels[names[place]]
            vectors = await embedder.embed_query(query, Deadline.never())
            found = await stage.retrieve(query, DEPTH, RetrievalMode.HYBRID, Deadline.never(), vectors=vectors)
            assert found.vectors is not None, "the query has vectors"
            lists.append(ReadList(_judged(found.candidates, grades), vectors.dense, found.vectors))
    finally:
        await stage.close()
    return lists


def _judged(candidates: Sequence[Candidate], grades: dict[str, int]) -> Judged:
    rows = [(one.dense, one.sparse, one.lexical) for each in candidates if (one := each.evidence) is not None]
    gains = np.array([max(0, grades.get(each.document.id, 0)) for each in candidates], float)
    best = np.array(sorted(grades.values(), reverse=True), float).clip(min=0)
    ideal = Judged(best[:, np.newaxis], best, 1.0).ndcg([1.0])  # the gain of the grades in their own order
    return Judged(np.array(rows), gains, ideal)


def main(arguments: Sequence[str] | None = None) -> None:
    """Report on each collection with a reader of the others, then train on all and write that reader."""
    parser = argparse.ArgumentParser(prog="python -m training.reader", description=__doc__)
    parser.add_argument("pairs", nargs="+", metavar="INDEX=FOLDER", help="an index folder and its judged collection")
    parser.add_argument("--encoders", type=Path, default=ENCODERS, help="folder of the encoders it was built with")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the reader to")
    parser.add_argument("--queries", type=int, default=500, help="most queries of each collection and split")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    recipe = Recipe(seed=asked.seed)
    folders = [tuple(map(Path, pair.split("=", 1))) for pair in asked.pairs]
    with closing(Encoders(asked.encoders)) as encoders:

        def of(split: str) -> list[list[ReadList]]:
            return [asyncio.run(read_lists(index, folder, split, encoders, asked.queries)) for index, folder in folders]

        sets, tests = of("train"), of("test")
    for place, (_, folder) in enumerate(folders):
        if others := sets[:place] + sets[place + 1 :]:
            print(report(f"{folder.name}, left out", train(others, recipe), tests[place]))
    train(sets, recipe).save(asked.out)


if __name__ == "__main__":
    main()
