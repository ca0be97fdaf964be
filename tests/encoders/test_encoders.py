from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.encoders.encoders import PIECE_TOKENS, QUERY_TOKENS, SHIPPED, Encoders
from service.errors import ProfileError

TEXTS = [
    "Bees make honey from nectar: they carry it to the hive and thicken it.",
    "The tide rises because the moon pulls the water of the sea towards it.",
    "honey",
    "csv.DictReader reads each row of a file into a dictionary. " * 12,
    "",
]
QUERIES = ["how do bees make honey", "read a csv file", "tide", ""]


def test_a_vector_does_not_depend_on_its_company(encoders: Encoders) -> None:
    ids = encoders.tokens(TEXTS)
    dense, sparse = encoders.dense(ids), encoders.sparse(ids)
    for place, each in enumerate(ids):
        assert encoders.dense([each])[0].tolist() == dense[place].tolist()
        alone, together = encoders.sparse([each]).row(0), sparse.row(place)
        assert [part.tolist() for part in alone] == [part.tolist() for part in together]


def test_dense_vectors_have_unit_length(encoders: Encoders) -> None:
    vectors = encoders.dense(encoders.tokens(TEXTS))
    assert vectors.shape == (len(TEXTS), encoders.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-3)


def test_no_texts_no_vectors(encoders: Encoders) -> None:
    assert encoders.dense([]).shape == (0, encoders.dimension)
    assert encoders.sparse([]).rows == 0


@pytest.mark.parametrize("query", QUERIES)
def test_a_sparse_score_is_the_inner_product_of_both_sparse_vectors(encoders: Encoders, query: str) -> None:
    """But for what the graph of the whole vocabulary rounds to int8; on the demo corpus scores reach 2.3."""
    read = encoders.query(query)
    full = np.zeros(encoders.vocabulary, np.float32)
    full[read.terms] = read.weights
    for ids in encoders.tokens(TEXTS):
        terms, weights = encoders.sparse([ids]).row(0)
        product = float(full[terms] @ weights)
        assert read.sparse_score(encoders.states_one(ids)) == pytest.approx(product, abs=0.015)


def test_a_query_has_unit_vectors_of_both_kinds(encoders: Encoders) -> None:
    read = encoders.query("how do bees make honey")
    assert np.linalg.norm(read.dense) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(read.weights) == pytest.approx(1, abs=1e-5)
    assert sorted(set(read.terms.tolist())) == read.terms.tolist()


def test_a_passage_that_answers_is_nearer_than_others(encoders: Encoders) -> None:
    read = encoders.query("how do bees make honey")
    ids = encoders.tokens(TEXTS[:2])
    answer, other = encoders.dense(ids) @ read.dense
    assert answer > other + 0.2
    answer, other = (read.sparse_score(encoders.states_one(each)) for each in ids)
    assert answer > other + 0.5


@pytest.mark.parametrize("mark", ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"])
def test_what_spells_a_special_token_is_text(encoders: Encoders, mark: str) -> None:
    special = encoders._tokens.single(mark)
    (ids,) = encoders.tokens([f"bees {mark} honey"])
    assert special not in ids.tolist()
    assert len(ids) > 2


def test_texts_are_cut_to_what_is_read_in_one_piece(encoders: Encoders) -> None:
    (ids,) = encoders.tokens(["bees " * 1000])
    assert len(ids) == PIECE_TOKENS
    assert encoders.query("bees " * 1000).dense.tolist() == encoders.query("bees " * QUERY_TOKENS).dense.tolist()


def test_the_identity_tells_the_weights(folder: Path, encoders: Encoders) -> None:
    assert encoders.id.startswith("encoders@")
    content = bytearray((folder / "head.npy").read_bytes())
    content[-1] ^= 1
    (folder / "head.npy").write_bytes(content)
    other = Encoders(folder)
    other.close()
    assert other.id.rsplit("@", 1)[1] != encoders.id.rsplit("@", 1)[1]


def test_closed_encoders_take_no_work() -> None:
    encoders = Encoders()
    ids = encoders.tokens(["bees"])
    encoders.close()
    encoders.close()
    with pytest.raises(RuntimeError):
        encoders.dense(ids)


FILES = ("tokenizer.json", "dense.onnx", "sparse.onnx", "vocabulary.onnx", "head.npy", "head_scales.npy")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A copy of the encoders that ship, to be damaged."""
    yield Path(shutil.copytree(SHIPPED, tmp_path / "encoders"))
    shutil.rmtree(tmp_path / "encoders")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ProfileError, match=name):
        Encoders(folder)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09" * 100])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ProfileError, match=name):
        Encoders(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ProfileError, match=name):
        Encoders(folder)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    shutil.copy(Path(onnxruntime.__file__).parent / "datasets" / "sigmoid.onnx", folder / "dense.onnx")
    with pytest.raises(ProfileError, match=r"dense\.onnx: takes"):
        Encoders(folder)


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.float64), np.zeros(4, np.int8)])
def test_a_head_of_another_kind_is_refused(
    folder: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> None:
    np.save(folder / "head.npy", array)
    with pytest.raises(ProfileError, match=r"head\.npy"):
        Encoders(folder)


def test_a_head_of_another_vocabulary_is_refused(folder: Path) -> None:
    np.save(folder / "head.npy", np.load(SHIPPED / "head.npy")[:-1])
    with pytest.raises(ProfileError, match=r"head\.npy"):
        Encoders(folder)
