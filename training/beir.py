"""Reading a folder in BEIR layout, with or without gzip: corpus, queries, qrels, runs and candidate lists."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.errors import UnusableInput

Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file, one a line; gzipped if its name ends so."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def records_of(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The records of ``name.jsonl.gz``, or of ``name.jsonl``.

    Raises:
        UnusableInput: the folder holds neither, or a line is no record.
    """
    found = [path for path in (folder / f"{name}.jsonl.gz", folder / f"{name}.jsonl") if path.exists()]
    if not found:
        raise UnusableInput(f"{folder}: there is neither {name}.jsonl nor {name}.jsonl.gz")
    try:
        yield from read_jsonl(found[0])
    except (ValueError, gzip.BadGzipFile) as error:
        raise UnusableInput(f"{found[0]}: not one JSON record a line: {error}") from error


def joined_text(record: dict[str, Any]) -> str:
    """Title and text as one passage."""
    return f"{record.get('title') or ''} {record['text']}".strip()


def read_corpus(folder: Path) -> dict[str, str]:
    """Texts by document id."""
    return {record["_id"]: joined_text(record) for record in records_of(folder, "corpus")}


def read_queries(folder: Path) -> dict[str, str]:
    """Texts by query id."""
    return {record["_id"]: record["text"] for record in records_of(folder, "queries")}


def read_qrels(path: Path) -> Qrels:
    """Judgements by query; the file may have a header and either three or four (TREC) columns.

    Raises:
        UnusableInput: there is no such file.
    """
    if not path.exists():
        raise UnusableInput(f"{path}: there are no judgements")
    qrels: Qrels = {}
    for line in path.read_text().splitlines():
        fields = line.split()
        if len(fields) < 3 or not fields[-1].lstrip("-").isdigit():
            continue
        qrels.setdefault(fields[0], {})[fields[-2]] = int(fields[-1])
    return qrels


def read_run(path: Path) -> Run:
    """A first-stage run: query, document, score (or TREC's six columns)."""
    run: Run = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            fields = line.split()
            query, document, score = (
                (fields[0], fields[2], fields[4]) if len(fields) >= 6 else (fields[0], fields[1], fields[-1])
            )
            try:
                run.setdefault(query, {})[document] = float(score)
            except ValueError:
                continue
    return run
