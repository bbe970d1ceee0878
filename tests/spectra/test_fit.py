"""The fitter on spectra whose truth is known, and on those that cannot be fitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known_spectra import (
    ENERGIES,
    NOTICED,
    RESPONSE,
    TRUTHS,
    absorbed_power_law,
    draw,
    fit,
    spectrum_of,
)

from hf_specclip.spectra import emission as models
from hf_specclip.spectra.fitting.engine import PoissonDeviance
from hf_specclip.spectra.fitting.fit import CATALOGUE_MODELS, fit_spectra
from hf_specclip.spectra.fitting.groups import group_channels, noticed_channels


@pytest.mark.parametrize("statistic", ["chi2datavar", "cstat"])
@pytest.mark.parametrize("name", CATALOGUE_MODELS)
def test_noiseless_spectrum_gives_its_own_parameters(name, statistic):
    photons, shape = TRUTHS[name]
    flux = 1e-3 * photons(ENERGIES, shape) * models.phabs(ENERGIES, 0.3)
    counts = np.rint(flux @ RESPONSE * 5e6)
    table = fit(counts, models=[name], statistic=statistic, exposure=5e6)
    column = f"{name}_{'gamma' if name == 'powlaw' else 'kt'}"
    norm = f"{name}_{'ampl' if name in ('powlaw', 'bb') else 'norm'}"
    assert table[column][0] == pytest.approx(shape, rel=2e-3)
    assert table[f"{name}_nh"][0] == pytest.approx(30.0, rel=1e-2)
    assert table[norm][0] == pytest.approx(1e-3, rel=1e-2)
    assert table[f"{name}_stat"][0] < 0.1
    for short in (column, f"{name}_nh"):
        assert table[f"{short}_lolim"][0] < table[short][0] < table[f"{short}_hilim"][0]


class TestAgainstAPlainSearch:
    """The same χ², written once more in numpy and searched by brute force."""

    counts, region = draw(absorbed_power_law(), 400, 1, seed=3, background=40)

    @pytest.fixture(scope="class")
    @classmethod
    def surface(cls):
        groups = group_channels(cls.counts[:, NOTICED], 16)
        slices = [slice(a, b) for a, b in zip(groups.starts[0], groups.stops[0], strict=True)]

        def joined(values):
            return np.stack([values[..., part].sum(-1) for part in slices], -1)

        source, region = (joined(v[0, NOTICED]) for v in (cls.counts, cls.region))
        net, variance = source - 0.1 * region, source + 0.01 * region
        indices, columns = np.linspace(1.2, 3.0, 181), np.linspace(0.0, 1.0, 201)
        flux = models.power_law(ENERGIES, indices)[:, None] * models.phabs(ENERGIES, columns)[None]
        model = joined((flux @ RESPONSE)[..., NOTICED])
        best = (model * net / variance).sum(-1) / (model**2 / variance).sum(-1)
        return indices, columns, ((net - best[..., None] * model) ** 2 / variance).sum(-1)

    @pytest.fixture(scope="class")
    @classmethod
    def table(cls):
        return fit(cls.counts, cls.region, 0.1, models=["powlaw"])

    def test_minimum(self, surface, table):
        indices, columns, chi2 = surface
        i, j = np.unravel_index(chi2.argmin(), chi2.shape)
        assert table["powlaw_stat"][0] * table["powlaw_dof"][0] == pytest.approx(
            chi2.min(), abs=0.01
        )
        assert table["powlaw_gamma"][0] == pytest.approx(indices[i], abs=0.02)
        assert table["powlaw_nh"][0] == pytest.approx(100 * columns[j], abs=1.0)

    @pytest.mark.parametrize("axis", [0, 1])
    def test_limits_are_where_the_profile_has_risen_by_one(self, surface, table, axis):
        grid, name, factor = surface[axis], ("powlaw_gamma", "powlaw_nh")[axis], (1, 100)[axis]
        profile = surface[2].min(axis=1 - axis)
        lowest = table["powlaw_stat"][0] * table["powlaw_dof"][0]
        inside = np.flatnonzero(profile < lowest + 1)
        for end, near, step in (("lolim", inside[0], -1), ("hilim", inside[-1], 1)):
            far = near + step
            part = (lowest + 1 - profile[near]) / (profile[far] - profile[near])
            limit = grid[near] + part * (grid[far] - grid[near])
            assert table[f"{name}_{end}"][0] == pytest.approx(factor * limit, rel=0.01)


def test_w_is_the_lowest_over_every_background():
    source = np.array([[4.0, 0.0, 7.0, 3.0, 0.0]])
    region = np.array([[9.0, 5.0, 0.0, 0.0, 0.0]])
    model = np.array([[2.0, 1.0, 3.0, 8.0, 0.5]])
    ratio = 0.2
    behind = np.linspace(0.0, 12.0, 240_001)[1:, None]

    def deviance(data, mean):
        logs = np.where(data > 0, data * np.log(np.where(data > 0, data, 1) / mean), 0.0)
        return 2 * (mean - data + logs)

    brute = deviance(source, model + behind) + deviance(region, behind / ratio)
    tensors = [torch.tensor(v) for v in (source, region, np.full_like(source, ratio))]
    found, slope, _ = PoissonDeviance(*tensors).terms(torch.tensor(model)[:, None])
    assert found.item() == pytest.approx(brute.min(0).sum(), abs=2e-3)
    more = PoissonDeviance(*tensors).terms(torch.tensor(model + 1e-5)[:, None])[0]
    assert slope.sum().item() == pytest.approx((more - found).item() / 1e-5, rel=1e-3)


def test_many_together_equal_each_alone():
    counts, region = draw(absorbed_power_law(), 500, 24, seed=5, background=50)
    together = fit(counts, region, 0.1)
    for row in (0, 11, 23):
        alone = fit(counts[row], region[row : row + 1], 0.1)
        for name in CATALOGUE_MODELS:
            shape = f"{name}_{'gamma' if name == 'powlaw' else 'kt'}"
            for short in (shape, f"{name}_nh"):
                width = alone[f"{short}_hilim"][0] - alone[short][0]
                assert together[short][row] == pytest.approx(alone[short][0], abs=0.02 * width)
            assert together[f"{name}_stat"][row] == pytest.approx(
                alone[f"{name}_stat"][0], rel=1e-3
            )


def test_area_of_each_spectrum():
    rng = np.random.default_rng(1)
    counts, _ = draw(absorbed_power_law(), 600, 20, seed=6)
    middle = (ENERGIES[1:] + ENERGIES[:-1]) / 2
    areas = 1 + 0.3 * rng.random((20, 1)) * np.exp(-middle)
    together = fit(counts, models=["powlaw"], effective_area=areas)
    alone = fit(counts[7], models=["powlaw"], effective_area=areas[7])
    plain = fit(counts[7], models=["powlaw"])
    assert together["powlaw_gamma"][7] == pytest.approx(alone["powlaw_gamma"][0], abs=2e-3)
    assert abs(alone["powlaw_gamma"][0] - plain["powlaw_gamma"][0]) > 5e-3


FAINT = draw(absorbed_power_law(), 120, 1, seed=1, background=100)
BRIGHT_SKY = draw(absorbed_power_law(), 1, 1, seed=1, background=400)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((*FAINT, 0.1), "net counts in 0.5–7 keV are not more than 150"),
        ((500 * np.eye(400)[60],), "1 groups of 16 counts or more leave no degree of freedom"),
        ((np.zeros(400),), "no net counts"),
        ((BRIGHT_SKY[0], 2 * BRIGHT_SKY[1], 0.1), "the background is as bright as the source"),
    ],
)
def test_unfittable_spectra_have_a_reason(arguments, reason):
    assert FAINT[0][:, NOTICED].sum() > 150  # before the background is taken off
    more = {"min_net_counts": -1e9} if "bright" in reason else {}
    table = fit(*arguments, **more)
    assert reason in table["reason"][0]
    for name, values in table.items():
        if name.endswith("_converged"):
            assert not values.any()
        elif name.startswith(CATALOGUE_MODELS):
            assert np.isnan(values).all(), name


def test_what_a_result_says():
    [result] = fit_spectra(spectrum_of(counts=np.zeros(400, int)), ["powlaw"])
    assert result.columns() == dict.fromkeys(result.columns())
    assert "powlaw_gamma_lolim" in result.columns()
    assert "no net counts" in result.models["powlaw"].reason


def test_what_cannot_be_fitted_is_refused():
    spectrum = spectrum_of(counts=[1] * 400, rmf=None, path="some.pha")
    with pytest.raises(ValueError, match=r"some.pha: a fit needs the redistribution matrix"):
        fit_spectra(spectrum)
    with pytest.raises(ValueError, match="statistic 'chi' is unknown"):
        fit(np.zeros(400), statistic="chi")


def test_limit_beyond_a_bound_is_left_open():
    counts, _ = draw(absorbed_power_law(column=0.0), 400, 16, seed=8)
    table = fit(counts, models=["powlaw"])
    at_zero = table["powlaw_nh"] < 0.01
    assert 0 < at_zero.sum() < 16
    assert np.isnan(table["powlaw_nh_lolim"][at_zero]).all()
    assert (table["powlaw_nh_hilim"] > table["powlaw_nh"]).all()


def test_a_group_closes_as_soon_as_it_is_full():
    groups = group_channels([[3, 9, 4, 20, 1, 1, 1, 16, 5, 2]], 16)
    assert groups.starts[0].tolist() == [0, 3, 4]
    assert groups.stops[0].tolist() == [3, 4, 8]
    assert groups.sum([[3, 9, 4, 20, 1, 1, 1, 16, 5, 2]]).tolist() == [[16, 20, 19]]


def test_what_is_left_over_can_be_kept():
    groups = group_channels([[16, 3, 2], [0, 0, 16]], 16, keep_incomplete=True)
    assert groups.number.tolist() == [2, 1]
    assert groups.stops[0].tolist() == [1, 3]


def test_channels_that_touch_the_range_count():
    assert noticed_channels([0.0, 0.4, 0.6, 1.0, 7.0, 8.0], (0.5, 7.0)) == slice(1, 4)
    with pytest.raises(ValueError, match=r"no channel lies in 0.5–7 keV"):
        noticed_channels([10.0, 11.0], (0.5, 7.0))
