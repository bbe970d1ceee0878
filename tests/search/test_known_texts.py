"""Texts that stand in for questions: which, where, and what a stranger's file can do."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hf_specclip.errors import FileFormatError
from hf_specclip.search.known_texts import (  # fmt: skip
    FEWEST,
    KNOWN_FOLDER,
    MAX_TEXTS,
    TENSORS_FILE,
    KnownTexts,
)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture
def texts():
    """Three kinds of text: each says one of three words, and how bright; a fourth is never said."""
    random = np.random.default_rng(0)
    kind = np.arange(600) % 3
    vectors = np.zeros((600, 6), np.float32)
    vectors[np.arange(600), kind] = 1.0
    vectors[:, 4] = random.choice([-1.0, 1.0], 600)
    points = unit(np.eye(8)[kind] + 0.1 * random.normal(size=(600, 8))).astype(np.float32)
    points[:, 5] += 0.3 * vectors[:, 4]
    return kind, vectors, points


def test_a_question_lies_where_texts_that_say_it_lie(texts):
    kind, vectors, points = texts
    known = KnownTexts(vectors, points)
    assert len(known) == 600
    assert known.width == 6
    asked = np.zeros((3, 6), np.float32)
    asked[0, 1] = 1.0  # a kind
    asked[1, [1, 4]] = 1.0, -1.0  # the same, faint
    asked[2, 3] = 1.0  # what no text says
    found = known.stand_in(asked)
    assert found[0] @ unit(points[kind == 1].mean(axis=0)) > 0.98
    faint = points[(kind == 1) & (vectors[:, 4] < 0)]
    assert found[1] @ unit(faint.mean(axis=0)) > 0.98
    assert found[1, 5] < found[0, 5]
    assert np.isnan(found[2]).all()
    np.testing.assert_allclose(np.linalg.norm(found[:2], axis=1), 1.0, atol=1e-5)
    assert known.stand_in(np.zeros((0, 6), np.float32)).shape == (0, 8)
    with pytest.raises(ValueError, match="the known texts have 6 numbers"):
        known.stand_in(asked[:, :4])


def test_as_many_stand_in_as_are_due(texts):
    kind, vectors, points = texts
    few = KnownTexts(vectors[:3], points[:3])
    asked = np.zeros((1, 6), np.float32)
    asked[0, 0] = 1.0
    np.testing.assert_allclose(few.stand_in(asked)[0], unit(points[:3].mean(axis=0)), atol=1e-6)
    # All 200 that say it equally well share the places.
    known = KnownTexts(vectors, points)
    expected = unit(points[kind == 0].mean(axis=0))
    np.testing.assert_allclose(known.stand_in(asked)[0], expected, atol=1e-6)
    # Three that say it count for three of twelve places, the others share nine.
    rare = vectors.copy()
    rare[[7, 8, 9], 3] = 1.0
    asked = np.zeros((1, 6), np.float32)
    asked[0, 3] = 1.0
    others = np.setdiff1d(np.arange(600), [7, 8, 9])
    expected = unit(points[7:10].sum(axis=0) + 9 * points[others].mean(axis=0))
    found = KnownTexts(rare, points).stand_in(asked)[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Where each says something else, two in a hundred.
    vectors = np.linspace(-1, 1, 600, dtype=np.float32)[:, None]
    expected = unit(points[-max(FEWEST, 12) :].mean(axis=0))
    found = KnownTexts(vectors, points).stand_in(np.ones((1, 1), np.float32))[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_word_of_two_texts_does_not_outweigh_the_rest(texts):
    _, vectors, points = texts
    vectors = vectors.copy()
    vectors[[0, 3], 5] = 0.7  # both of kind 0
    asked = np.zeros((1, 6), np.float32)
    asked[0, [1, 5]] = 1.0, 0.7
    found = KnownTexts(vectors, points).stand_in(asked)[0]
    assert found @ np.eye(8)[1] > found @ np.eye(8)[0]


def test_they_are_kept_as_they_are(texts, tmp_path):
    _, vectors, points = texts
    known = KnownTexts(vectors, points)
    known.save_pretrained(tmp_path)
    known.save_pretrained(tmp_path)  # in place of the first
    assert [path.name for path in tmp_path.iterdir()] == [KNOWN_FOLDER]
    again = KnownTexts.from_pretrained(tmp_path)
    asked = vectors[:20]
    np.testing.assert_array_equal(again.stand_in(asked), known.stand_in(asked))
    with pytest.raises(FileNotFoundError, match="training leaves it"):
        KnownTexts.from_pretrained(tmp_path / "none")


def test_more_than_there_is_room_for_are_thinned_out(monkeypatch, texts):
    _, vectors, points = texts
    assert MAX_TEXTS > 10_000
    monkeypatch.setattr("hf_specclip.search.known_texts.MAX_TEXTS", 50)
    known = KnownTexts(vectors, points)
    assert len(known) == 50
    np.testing.assert_array_equal(known.points[[0, -1]], points[[0, -1]])


def test_shapes_that_do_not_fit_are_refused(texts):
    _, vectors, points = texts
    for wrong in ((vectors[:5], points), (vectors[:0], points[:0]), (vectors[0], points)):
        with pytest.raises(ValueError, match="of known texts"):
            KnownTexts(*wrong)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rows", lambda rows: rows + 10_000),
        ("rows", lambda rows: -1 - rows),
        ("rows", lambda rows: rows.astype(np.float32)),
        ("values", lambda values: values[1:]),
        ("values", lambda values: values * np.nan),
        ("points", lambda points: points * np.inf),
        ("points", lambda points: points[:, 0]),
        ("starts", lambda starts: starts[::-1].copy()),
        ("starts", lambda starts: starts[[0, 3, 2, 4, 5, 6]]),
        ("starts", lambda starts: starts + 1),
        ("starts", lambda starts: None),
    ],
)
def test_a_strangers_file_is_looked_at(texts, tmp_path, name, change):
    _, vectors, points = texts
    path = KnownTexts(vectors, points).save_pretrained(tmp_path) / TENSORS_FILE
    tensors = {key: value.copy() for key, value in load_file(path).items()}
    changed = change(tensors.pop(name))
    save_file(tensors if changed is None else {**tensors, name: changed}, path)
    with pytest.raises(FileFormatError, match=r"texts\.safetensors cannot be used .*train it"):
        KnownTexts.from_pretrained(tmp_path)


def test_a_file_that_is_no_safetensors_is_named(texts, tmp_path):
    _, vectors, points = texts
    path = KnownTexts(vectors, points).save_pretrained(tmp_path) / TENSORS_FILE
    path.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(FileFormatError, match=r"texts\.safetensors"):
        KnownTexts.from_pretrained(tmp_path)
