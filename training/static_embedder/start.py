"""Where learning starts: every piece through the teacher, then fewer dimensions (Model2Vec's recipe)."""

from collections.abc import Sequence

import numpy as np

from training.static_embedder.teacher import Rows, Teacher


def projection(sentences: Rows, dimension: int) -> Rows:
    """The directions that keep most of the sentences' inner products, shape [teacher dimension, dimension].

    Principal components without centring: subtracting a mean would change the cosines that are to be kept.
    """
    _, directions = np.linalg.eigh(sentences.T.astype(np.float64) @ sentences)
    return directions[:, ::-1][:, :dimension].astype(np.float32)


def piece_vectors(teacher: Teacher, pieces: Sequence[str], whole: Sequence[str], down: Rows) -> Rows:
    """Projected vectors of the teacher's pieces and of added whole words, each less what all have in common."""
    vectors = np.concatenate([teacher.encode_pieces(pieces), teacher.encode_texts(whole)]) @ down
    return (vectors - vectors.mean(axis=0)).astype(np.float32)
