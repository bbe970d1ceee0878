"""Quantities read from prose."""

import math
import time

import numpy as np
import pytest

from hf_specclip.literature import KINDS, QUANTITY_WIDTH, find_quantities, quantity_numbers

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("text", "kind", "value", "low", "high"),
    [
        ("The 0.5-7 keV flux is 1.1 × 10^-13 erg/cm^2/s.", "flux", 1.1e-13, 1.1e-13, 1.1e-13),
        (r"at $3.2 \times 10^{-14}$ erg cm$^{-2}$ s$^{-1}$", "flux", 3.2e-14, 3.2e-14, 3.2e-14),
        ("(3.1 +/- 0.4) x 10^-14 erg s^-1 cm^-2", "flux", 3.1e-14, 2.7e-14, 3.5e-14),
        ("1.1e-13 ± 2e-14 ergs/s/cm2", "flux", 1.1e-13, 9e-14, 1.3e-13),
        ("a hardness ratio (hard against soft) of -0.14", "hardness", -0.14, -0.14, -0.14),
        (r"(M-S)/(M+S) = $0.6\pm0.1$", "hardness", 0.6, 0.5, 0.7),
        ("sources with HR > −0.2", "hardness", -0.2, -0.2, INF),
        ("a hardness ratio of -0.5 to -0.2", "hardness", NAN, -0.5, -0.2),
        ("HR between −0.6 and 0.3", "hardness", NAN, -0.6, 0.3),
        ("hardness ratio -0.5--0.2", "hardness", NAN, -0.5, -0.2),
        ("-0.5 < HR < -0.2", "hardness", NAN, -0.5, -0.2),
        ("HR in the range [-0.5, -0.2]", "hardness", NAN, -0.5, -0.2),
        ("HR = $-0.4^{+0.1}_{-0.2}$", "hardness", -0.4, -0.6, -0.3),
        ("(S-H)/(S+H) = 0.3±0.1", "hardness", -0.3, -0.4, -0.2),
        ("log F_X between -14 and -13", "flux", NAN, 1e-14, 1e-13),
        ("log F_X = -13.2^{+0.1}_{-0.3}", "flux", 10**-13.2, 10**-13.5, 10**-13.1),
        ("log F_X = -13.2", "flux", 10**-13.2, 10**-13.2, 10**-13.2),
        ("log F(0.5-7) = -13.2", "flux", 10**-13.2, 10**-13.2, 10**-13.2),
        ("L_X ~ 10³⁸ erg s⁻¹", "luminosity", 1e38, 1e38, 1e38),
        ("L(0.5-8 keV) < 2e39 erg/s", "luminosity", 2e39, -INF, 2e39),
        ("log10(Pcav/10^42 erg s^-1) = 2.5", "luminosity", 10**44.5, 10**44.5, 10**44.5),
        ("of at least a few 1e40 erg/s", "luminosity", 1e40, 1e40, INF),
        (r"$\log (L_{\rm X}/{\rm erg\,s^{-1}}) = 43.2^{+0.1}_{-0.2}$", "luminosity", 10**43.2,
         1e43, 10**43.3),
        (r"at $10^{44-46}$ erg s$^{-1}$", "luminosity", NAN, 1e44, 1e46),
        (r"$N_{\rm H} = (2.1\pm0.3)\times10^{22}$~cm$^{-2}$", "column", 2.1e22, 1.8e22, 2.4e22),
        ("NH 1e22", "column", 1e22, 1e22, 1e22),
        ("N_H = 3-5e21", "column", NAN, 3e21, 5e21),
        ("nH = 0.17 (10^22 cm^-2)", "column", 1.7e21, 1.7e21, 1.7e21),
        ("N_H = 0.3 (in units of 10^22 cm^-2)", "column", 3e21, 3e21, 3e21),
        ("log column ~ 21.1", "column", 10**21.1, 10**21.1, 10**21.1),
        ("N_H ($10^{22}$ cm$^{-2}$) < 0.5", "column", 5e21, -INF, 5e21),
        ("nH (10^22 cm^-2) 0.17", "column", 1.7e21, 1.7e21, 1.7e21),
        ("N_H/10^22 cm^-2 = 0.5", "column", 5e21, 5e21, 5e21),
        ("a high column (10^22 cm^-2)", "column", 1e22, 1e22, 1e22),
        ("log N_H = 22.3", "column", 10**22.3, 10**22.3, 10**22.3),
        ("log NH between 21 and 22", "column", NAN, 1e21, 1e22),
        ("an upper limit on the column density of 1e21 atoms cm^-2", "column", 1e21, -INF, 1e21),
        ("N_H ≳ 10^24 cm^-2", "column", 1e24, 1e24, INF),
        ("absorbed by 2-4 x 10^22 cm^-2", "column", NAN, 2e22, 4e22),
        ("with kT = 0.91 ± 0.03 keV", "temperature", 0.91, 0.88, 0.94),
        ("a black body temperature below 150 eV", "temperature", 0.15, -INF, 0.15),
        ("clusters hotter than 4 keV", "temperature", 4, 4, INF),
        ("a 0.5 keV blackbody", "temperature", 0.5, 0.5, 0.5),
        ("bremsstrahlung temperatures of 10 to 30 keV", "temperature", NAN, 10, 30),
        ("5 keV < kT < 10 keV", "temperature", NAN, 5, 10),
        ("kT(keV) 0.8", "temperature", 0.8, 0.8, 0.8),
        ("a temperature of 1.5 with an error of 0.3 keV", "temperature", 1.5, 1.2, 1.8),
        ("0.3±0.1 MK", "temperature", 0.02585, 0.01723, 0.03447),
        ("gas of $10^{7}$ K", "temperature", 0.8617, 0.8617, 0.8617),
        (r"\Gamma=1.9\pm0.1", "photon_index", 1.9, 1.8, 2.0),
        (r"$\Gamma = 1.7^{+0.2}_{-0.1}$", "photon_index", 1.7, 1.6, 1.9),
        ("photon index of less than 1", "photon_index", 1, -INF, 1),
        ("photon indices in the range 1.7–2.1", "photon_index", NAN, 1.7, 2.1),
        ("a spectral slope of 1.49", "photon_index", 1.49, 1.49, 1.49),
        ("a power-law continuum of slope 1.63", "photon_index", 1.63, 1.63, 1.63),
        ("an index of 2.5 plus or minus 0.2", "photon_index", 2.5, 2.3, 2.7),
        ("PhoIndex 2.4", "photon_index", 2.4, 2.4, 2.4),
        ("abs. PL, G=1.7(0.2)", "photon_index", 1.7, 1.5, 1.9),
        ("z 1.497 (phot)", "redshift", 1.497, 1.497, 1.497),
        ("Z_spec=1.030", "redshift", 1.03, 1.03, 1.03),
        ("obscured AGN at z~1", "redshift", 1, 1, 1),
        ("at $0.1 < z < 0.5$", "redshift", NAN, 0.1, 0.5),
        ("quasars at redshift above 2", "redshift", 2, 2, INF),
        ("NGC 1234, at 4.5 Mpc", "distance", 4.5e6, 4.5e6, 4.5e6),
        ("3.8 kpc away", "distance", 3800, 3800, 3800),
        ("some 1,240 net counts were collected", "counts", 1240, 1240, 1240),
        ("fewer than 60 photons", "counts", 60, -INF, 60),
        ("standard net counts 4600", "counts", 4600, 4600, 4600),
        ("97 net counts per visit", "counts", 97, 97, 97),
        ("820 counts/visit", "counts", 820, 820, 820),
        ("2 counts per ks", "count_rate", 0.002, 0.002, 0.002),
        ("2.0 counts per kilosecond", "count_rate", 0.002, 0.002, 0.002),
        ("metals at 0.4 ± 0.1 of the solar abundance", "abundance", 0.4, 0.3, 0.5),
        ("a metallicity of 3% solar", "abundance", 0.03, 0.03, 0.03),
        ("Z/Zsun 0.14", "abundance", 0.14, 0.14, 0.14),
        ("log(M_BH/M_sun) = 8", "mass", 1e8, 1e8, 1e8),
        ("a spin period of 33 ms", "period", 0.033, 0.033, 0.033),
    ],
)  # fmt: skip
def test_a_stated_quantity_is_read_in_its_unit(text, kind, value, low, high):
    (found,) = find_quantities(text)
    assert found.kind == kind
    assert (found.value, found.low, found.high) == pytest.approx(
        (value, low, high), rel=1e-3, nan_ok=True
    )
    assert text[found.start : found.stop].strip()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("kT = 5.5 +/- 0.2 keV and 8.4 +/- 0.2 keV", [("temperature", 5.5), ("temperature", 8.4)]),
        (r"masses of $7.8$ and $0.9\times10^{14}~M_{\odot}$", [("mass", 7.8e14), ("mass", 9e13)]),
        ("Γ = 1.7 with NH 1e22", [("photon_index", 1.7), ("column", 1e22)]),
        ("photon index 1.7 and 0.5 keV plasma", [("photon_index", 1.7), ("temperature", 0.5)]),
        ("log fx -12, 3800 net counts", [("flux", 1e-12), ("counts", 3800)]),
        ("log L_X = 38 and 39 erg/s", [("luminosity", 1e38), ("luminosity", 1e39)]),
    ],
)
def test_several_quantities_are_kept_in_order(text, values):
    found = [(quantity.kind, quantity.value) for quantity in find_quantities(text)]
    assert [kind for kind, _ in found] == [kind for kind, _ in values]
    assert [value for _, value in found] == pytest.approx([value for _, value in values])


@pytest.mark.parametrize(
    ("text", "bands"),
    [
        ("hardness ratio 0.3", "hs"),
        ("a hard-to-soft hardness ratio of 0.3", "hs"),
        ("the hardness ratio (2-7 keV against 0.5-1.2 keV) is 0.3", "hs"),
        ("HR1 = 0.3 (M-S)", "ms"),
        ("a medium-to-soft colour of 0.3", "ms"),
        ("a medium-against-soft ratio of 0.3", "ms"),
        ("hard_hm 0.3", "hm"),
        ("a hardness ratio of 0.3 between 1.2-2 keV and 2-7 keV", "hm"),
        ("HR1 = 0.3", None),
        ("HR = 0.2 and 0.3 (0.5-2 vs 2-10 keV)", None),
        ("the 2-10/0.5-2 keV hardness ratio is 0.3", None),
        ("(C-B)/(C+B) hardness ratio of 0.3", None),
    ],
)
def test_only_ratios_of_the_catalogues_bands_are_its_hardness(text, bands):
    kinds = {(quantity.kind, quantity.bands) for quantity in find_quantities(text)}
    assert kinds == {("hardness", bands) if bands else ("other_hardness", "")}
    assert quantity_numbers([text]).any() == bool(bands)


@pytest.mark.parametrize(
    "text",
    [
        "Photometry in 7 bands out to 12 arcsec.",
        "the 0.5-7 keV band and a line at 6.4 keV",
        "2CXO J051356.5+154634, UGC 16896, 3C 273 and IC 10",
        "a Lorentz factor Γ = 5 and 2 Msun/yr",
        "a Sérsic index of 4, and a radio spectral\nindex of 0.7",
        "a relation with a slope of 0.6",
        "a star with Gaia G = 8.2",
        "1e60 cm^-2",
        "within the central 30 kpc",
        "12+log(O/H) = 8.4",
    ],
)
def test_other_numbers_are_left_alone(text):
    assert find_quantities(text) == []


def test_the_span_holds_name_and_limit():
    text = "soft emission, $kT < 0.5$ keV, seen"
    (found,) = find_quantities(text)
    assert text[found.start : found.stop] == "kT < 0.5$ keV"


def test_numbers_tell_limits_ranges_and_typical_values_from_none():
    texts = ["F = 1e-13 erg/cm^2/s", "nothing", "F < 1e-12 erg/cm^2/s", "F = 1-2e-13 erg/cm^2/s"]
    numbers = quantity_numbers(texts)
    assert (numbers.shape, numbers.dtype) == ((4, QUANTITY_WIDTH), np.float32)
    flux = numbers.reshape(4, len(KINDS), -1)[:, KINDS.index("flux"), :5]
    expected = [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 0, 1, 0], [1, 0.15, 0.15, 0, 0]]
    np.testing.assert_allclose(flux, expected, atol=0.01)
    assert not numbers[1].any()


def test_exponents_of_any_length_are_read():
    assert not find_quantities(f"L = 1e{'9' * 5000} erg/s")


def test_thousands_of_sentences_take_no_time():
    start = time.process_time()
    quantity_numbers(["The flux in the 0.5-7 keV band is 1e-13 erg/cm^2/s, and Γ = 1.8."] * 2000)
    quantity_numbers(["(" * 2000 + "1" * 2000 + " and 2, " * 500])
    assert time.process_time() - start < 2.0
