from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from service.deadline import Deadline
from service.domain import Document
from service.errors import ConfigurationError, DeadlineExceeded
from service.house import build_embedder
from service.retrieval.embedding.embedder import Vectors
from service.retrieval.embedding.static import DEFAULT_FOLDER, StaticEmbedder
from service.settings import EmbedderKind, EmbedderSettings, Settings

pytestmark = pytest.mark.anyio
NEVER = Deadline.never()


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_FOLDER, tmp_path / "weights"))


async def passages(embedder: StaticEmbedder, texts: Sequence[str]) -> Vectors:
    return (await embedder.embed_passages([Document("", text) for text in texts], NEVER)).dense


async def queries(embedder: StaticEmbedder, texts: Sequence[str]) -> Vectors:
    return np.stack([(await embedder.embed_query(text, NEVER)).dense for text in texts])


async def test_vectors_are_unit_and_of_the_stated_dimension(embedder: StaticEmbedder) -> None:
    texts = ["Cats purr.", "", "?!", "東京", "\ud800", "\x00", "word " * 5_000]
    for vectors in (await passages(embedder, texts), await queries(embedder, texts)):
        assert vectors.shape == (len(texts), embedder.dimension)
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


async def test_no_texts_are_no_vectors(embedder: StaticEmbedder) -> None:
    assert (await passages(embedder, [])).shape == (0, embedder.dimension)


async def test_a_text_s_vector_does_not_depend_on_its_company(embedder: StaticEmbedder) -> None:
    texts = [f"passage number {number} about ships" for number in range(5_000)]
    together, alone = await passages(embedder, texts), await passages(embedder, texts[4_321:4_322])
    assert together[4_321].tolist() == alone[0].tolist()
    assert (await passages(StaticEmbedder(), texts)).tolist() == together.tolist()


@pytest.mark.parametrize(
    ("query", "answer", "distraction"),
    [
        ("how do cats sound", "A kitten meows and purrs.", "The stock market fell on Monday."),
        ("heart attack treatment", "Myocardial infarction is treated with aspirin.", "Paris is the capital of France."),
        ("parse json string", "Deserialize a document to a Python object.", "Return the cosine of an angle."),
        ("who was the first US president", "George Washington took office in 1789.", "Cells divide by mitosis."),
    ],
)
async def test_an_answer_is_nearer_than_a_distraction(
    embedder: StaticEmbedder, query: str, answer: str, distraction: str
) -> None:
    vectors = await queries(embedder, [query]) @ (await passages(embedder, [answer, distraction])).T
    assert vectors[0, 0] > vectors[0, 1]


async def test_the_deadline_is_kept(embedder: StaticEmbedder) -> None:
    with pytest.raises(DeadlineExceeded):
        await embedder.embed_query("late", Deadline.after(0))


def test_the_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in DEFAULT_FOLDER.iterdir()) <= 9_000_000


def test_the_id_follows_the_weights(embedder: StaticEmbedder, copy: Path) -> None:
    assert StaticEmbedder(copy).id == embedder.id
    scales = np.load(copy / "query_scales.npy")
    scales[0] *= 2
    np.save(copy / "query_scales.npy", scales)
    assert StaticEmbedder(copy).id != embedder.id


def test_the_settings_name_other_weights(embedder: StaticEmbedder, copy: Path) -> None:
    static = EmbedderSettings(kind=EmbedderKind.STATIC)
    assert build_embedder(Settings(embedder=static)).id == embedder.id
    np.save(copy / "vectors.npy", -np.load(copy / "vectors.npy"))
    other = static.model_copy(update={"folder": copy})
    assert build_embedder(Settings(embedder=other)).id == StaticEmbedder(copy).id != embedder.id
    missing = static.model_copy(update={"folder": copy / "nowhere"})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        build_embedder(Settings(embedder=missing))


@pytest.mark.parametrize("name", ["pieces.txt", "vectors.npy", "query_scales.npy", "passage_scales.npy"])
def test_missing_or_cut_weights_are_refused(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigurationError, match="static embedder"):
        StaticEmbedder(copy)
    (copy / name).unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        StaticEmbedder(copy)


@pytest.mark.parametrize("array", [np.zeros((3, 2), np.float64), np.zeros(3, np.int8), np.array([{}], dtype=object)])
def test_weights_of_another_kind_are_refused(copy: Path, array: Vectors) -> None:
    np.save(copy / "vectors.npy", array)
    with pytest.raises(ConfigurationError):
        StaticEmbedder(copy)
