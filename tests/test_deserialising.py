"""Nothing that is read can run code: no pickle in any of its guises, only safe YAML."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import service

FILES = sorted(Path(service.__file__).parent.rglob("*.py"))
MODULES = frozenset({"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "torch"})
RUNNING = frozenset({"eval", "exec", "compile", "__import__"})
SAFE_YAML = frozenset({"safe_load", "safe_dump", "YAMLError"})


def offences(tree: ast.AST) -> Iterator[str]:
    """What in a file could turn bytes into running code."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in {*MODULES, "yaml"}:
                yield f"from {module}"
            case ast.Attribute(value=ast.Name(id="yaml"), attr=attribute) if attribute not in SAFE_YAML:
                yield f"yaml.{attribute}"
            case ast.Call(func=ast.Name(id=name)) if name in RUNNING:
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "numpy"), attr="load")):
                if not any(each.arg == "allow_pickle" and _is_false(each.value) for each in node.keywords):
                    yield "np.load that may unpickle"
            case ast.keyword(arg="allow_pickle", value=value) if not _is_false(value):
                yield "allow_pickle"
            case _:
                pass


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_file_of_the_service_unpickles_or_runs_what_it_reads(file: Path) -> None:
    assert list(offences(ast.parse(file.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from torch import load",
        "import torch.nn",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "numpy.load(file, allow_pickle=flag)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
        "from yaml import load",
        "eval(text)",
    ],
)
def test_the_search_finds_what_it_is_for(code: str) -> None:
    assert list(offences(ast.parse(code)))
