"""Predicted classes against gallery sources of known class in the same field."""

import numpy as np
import pytest

from hf_specclip import Describer, SpecCLIPIndex
from hf_specclip.describe.class_check import FIELD_RADIUS, RECOVERED, check_class

FIELD = {"ra": 265.0, "dec": -53.0}


@pytest.fixture(scope="module")
def classes():
    return Describer.from_pretrained(parts=("classes",)).classes


def gallery(*recovered, separation=0.05):
    """Gallery sources of known class north of a position, one of them at it."""
    declinations = FIELD["dec"] + separation * np.arange(len(recovered)) / max(
        1, len(recovered) - 1
    )
    entries = [
        {"id": f"s{row}", "source_name": f"s{row}", "ra": FIELD["ra"], "dec": dec, RECOVERED: right}
        for row, (dec, right) in enumerate(zip(declinations, recovered, strict=True))
    ]
    return SpecCLIPIndex(
        [], np.zeros((0, 4), np.float32),
        spectra=entries, spectrum_embeddings=np.ones((len(entries), 4), np.float32),
    )  # fmt: skip


def stands_out(classes, index, facts=FIELD, probability=0.9):
    rest = (1 - probability) / 2
    probabilities = {"QSO": probability, "Star": rest, "LMXB": rest}
    return check_class(classes, probabilities, index, facts)


def test_no_class_stands_out_where_the_field_is_misclassified(classes):
    found, [note] = stands_out(classes, gallery(True, *[False] * 6))
    assert not found
    # The source at the position itself is not counted.
    assert note.startswith(f"of 6 gallery sources of known class within {FIELD_RADIUS:.0f}′, 0 ")


@pytest.mark.parametrize(
    "index",
    [
        gallery(False, True, True, True, False),
        gallery(False, False, False),  # too few to tell
        gallery(*[False] * 9, separation=90.0),  # of another field
        None,
    ],
)
def test_a_class_stands_out_by_its_probability_elsewhere(classes, index):
    assert stands_out(classes, index) == (True, [])
    assert stands_out(classes, index, probability=0.4)[0] is False


def test_classes_named_by_the_user_and_spectra_without_position_are_not_checked(classes):
    index = gallery(*[False] * 9)
    assert stands_out(classes, index, facts={}) == (True, [])
    zero_shot = Describer.from_pretrained(parts=("classes",))._zero_shot
    assert stands_out(zero_shot, index) == (True, [])
    assert check_class(None, {}, index, FIELD) == (False, [])
