"""Gradings and terms read from prose."""

import numpy as np
import pytest

from hf_specclip.literature import TermEmbedder, find_gradings
from hf_specclip.literature.embedders.terms import SCALES, TERMS


@pytest.mark.parametrize(
    ("text", "scale", "place"),
    [
        ("A very faint source.", "brightness", -1.5),
        ("It is moderately bright", "brightness", 0.5),
        ("one of the brightest known", "brightness", 2.0),
        ("at the detection limit", "brightness", -2.0),
        ("The spectrum is soft.", "hardness", -1.0),
        ("an extremely hard spectrum", "hardness", 2.0),
        ("it is not soft", "hardness", 0.5),
        ("of intermediate hardness", "hardness", 0.0),
        ("an unobscured view", "absorption", -2.0),
        ("no significant absorption is seen", "absorption", -2.0),
        ("a Compton-thick absorber", "absorption", 3.0),
        ("a heavily obscured nucleus", "absorption", 2.0),
    ],
)
def test_a_grading_has_its_place(text, scale, place):
    assert find_gradings(text) == {scale: [place]}


def test_a_degree_belongs_to_its_own_sentence():
    assert find_gradings("It is very old. Faint it is.") == {"brightness": [-1.0]}


def test_prose_without_gradings_has_none():
    assert find_gradings("Hardware and software of the telescope brightened the mood.") == {}


def test_vectors_hold_scales_and_terms():
    embedder = TermEmbedder()
    texts = ["A faint low-mass X-ray binary, faint and hard.", "Bright quasars.", "Nothing else."]
    vectors = embedder.embed(texts)
    assert vectors.shape == (3, embedder.dimension)
    scales = vectors[:, : -len(TERMS)].reshape(3, len(SCALES), -1)
    assert scales[0, SCALES.index("brightness"), :2].tolist() == [1.0, -1.0]
    assert scales[0, SCALES.index("hardness"), :2].tolist() == [1.0, 1.0]
    assert not scales[2].any()
    flags = vectors[:, -len(TERMS) :].astype(bool)
    named = [{name for name, flag in zip(TERMS, row, strict=True) if flag} for row in flags]
    assert named == [{"low-mass", "x-ray binary"}, {"quasar"}, set()]
    assert np.array_equal(embedder.embed(texts[1:2])[0], vectors[1])
