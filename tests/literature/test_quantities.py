"""Quantities read from prose."""

import numpy as np
import pytest

from hf_specclip.literature import KINDS, QUANTITY_WIDTH, find_quantities, quantity_numbers


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("The 0.5-7 keV flux is 1.1 × 10^-13 erg/cm^2/s.", "flux", 1.1e-13),
        (r"a flux of $3.2 \times 10^{-14}$ erg cm$^{-2}$ s$^{-1}$", "flux", 3.2e-14),
        ("2E-13 erg s^-1 cm^-2", "flux", 2e-13),
        ("F = 4x10^−15 ergs/s/cm2", "flux", 4e-15),
        ("The luminosity is 6.0 × 10^36 erg/s.", "luminosity", 6e36),
        ("L_X = 2e39 erg s^-1", "luminosity", 2e39),
        ("N_H ≈ 9.5e20 cm^-2", "column", 9.5e20),
        ("a column of 5 x 10^21 atoms cm-2", "column", 5e21),
        ("with kT = 0.91 ± 0.03 keV", "temperature", 0.91),
        ("at about 11.6 million K", "temperature", 1.0),
        ("with photon index 1.9 ± 0.2", "photon_index", 1.9),
        ("a slope of 1.49", "photon_index", 1.49),
        ("Γ ≈ 2.3", "photon_index", 2.3),
        ("a quasar at redshift 0.251", "redshift", 0.251),
        ("at z = 2.1", "redshift", 2.1),
        ("NGC 1234, at 4.5 Mpc", "distance", 4.5e6),
        ("3.8 kpc away", "distance", 3800.0),
        ("some 1,240 net counts were collected", "counts", 1240.0),
        ("with 85 photons", "counts", 85.0),
        ("at 0.013 counts/s", "count_rate", 0.013),
        ("3.5 ct s^-1", "count_rate", 3.5),
        ("2.0 counts per kilosecond", "count_rate", 0.002),
        ("metals at 0.4 of the solar abundance", "abundance", 0.4),
    ],
)
def test_a_stated_quantity_is_read_in_its_unit(text, kind, value):
    (found,) = find_quantities(text)
    assert found.kind == kind
    assert found.value == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        "Photometry in 7 bands out to 12 arcsec.",
        "the 0.5-7 keV band",
        "2CXO J051356.5+154634 and UGC 16896",
        "about 5 solar masses",
        "1e60 cm^-2",
        "a black hole of 10 Msun",
    ],
)
def test_other_numbers_are_left_alone(text):
    assert find_quantities(text) == []


def test_a_flux_is_no_luminosity_and_no_column():
    for text in ("3e-14 erg cm^-2 s^-1", "3e-14 erg s^-1 cm^-2"):
        assert [quantity.kind for quantity in find_quantities(text)] == ["flux"]


def test_two_components_are_kept_in_order():
    text = "a black body with kT = 0.2 keV and a plasma with kT = 3.1 keV"
    assert [quantity.value for quantity in find_quantities(text)] == [0.2, 3.1]


def test_numbers_tell_a_typical_value_from_none():
    numbers = quantity_numbers(["F = 1e-13 erg/cm^2/s", "nothing", "F = 1e-12 erg/cm^2/s"])
    assert (numbers.shape, numbers.dtype) == ((3, QUANTITY_WIDTH), np.float32)
    flux = numbers.reshape(3, len(KINDS), -1)[:, KINDS.index("flux")]
    assert flux[:, 0].tolist() == [1.0, 0.0, 1.0]
    assert flux[2, 1] > flux[0, 1] + 0.5
    assert not numbers[1].any()
