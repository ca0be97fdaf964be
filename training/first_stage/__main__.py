r"""Fit the builtin static embedder to the orders of the configured reranker.

    python -m training.first_stage --data beir-sets/ --sets clapnq-answers cosqa=stdlib --work lists/ --out embedder/

``SET`` is a folder of ``--data`` in the BEIR layout, of whose judgements only ``qrels/train.tsv`` is read; one without
any judgement will do. ``SET=CORPUS`` asks its queries of another corpus: any that ``onepass index build`` takes. The
profile, its engine and the embedder to start from are those of the service's settings. ``--work`` keeps the lists, so
that a run that was stopped goes on where it was. ``ONEPASS_EMBEDDER__FOLDER`` serves what comes of it.
"""

import argparse
import asyncio
from functools import partial
from pathlib import Path

from service.cli.building import chunking
from service.corpus.beir import BeirFolder
from service.corpus.detect import source_at
from service.engines import build_ranker
from service.retrieval.embedding.builtin import DEFAULT_FOLDER, StaticEmbedder
from service.settings import Settings, load
from training.first_stage.fit import fit
from training.first_stage.indexed import indexed
from training.first_stage.lists import ScoredList, read_lists, train_qrels, train_queries
from training.first_stage.recipe import Recipe
from training.first_stage.table import Table


def main() -> None:
    """Read the lists that are not there yet, fit, save."""
    options = _options()
    settings = load()
    start = settings.embedder.folder or DEFAULT_FOLDER
    options.work.mkdir(parents=True, exist_ok=True)
    sets = [asyncio.run(_lists(options, settings, name, start)) for name in options.sets]
    recipe = Recipe(epochs=options.epochs, judged=options.judged, seed=options.seed)
    fit(Table.load(start), sets, recipe, _print).save(options.out)
    print(f"{StaticEmbedder(options.out).id} is in {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.first_stage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of folders in the BEIR layout")
    parser.add_argument("--sets", nargs="+", required=True, metavar="SET[=CORPUS]", help="what to learn from")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the reranker's lists")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the embedder to")
    parser.add_argument("--queries", type=int, default=200, help="of each set")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--judged", type=float, default=Recipe.judged, help="share of the judged passages, 0 to 1")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    return parser.parse_args()


async def _lists(options: argparse.Namespace, settings: Settings, name: str, start: Path) -> list[ScoredList]:
    """The lists of one set; its corpus is indexed anew, which takes seconds."""
    asked, _, other = name.partition("=")
    folder = BeirFolder(options.data / asked)
    corpus = source_at(other, partial(chunking, settings)) if other else folder
    queries = train_queries(folder, options.queries, options.seed)
    kept = options.work / f"{asked}@{corpus.name}.jsonl"
    ranker = build_ranker(settings)
    await ranker.scorer.open()
    try:
        async with indexed(corpus, StaticEmbedder(start)) as first_stage:
            lists = await read_lists(first_stage, ranker, queries, {} if other else train_qrels(folder), kept)
    finally:
        await ranker.scorer.close()
    print(f"{name}: {len(lists)} lists", flush=True)
    return lists


def _print(epoch: int, learnt: float, held_out: float) -> None:
    print(f"epoch {epoch}: divergence {learnt:.3f} nats, of lists held out {held_out:.3f}", flush=True)


if __name__ == "__main__":
    main()
