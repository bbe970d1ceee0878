"""Fit of the mixture of experts: folds, scales, weights, neighbours, gates and coverage."""

import numpy as np
import pytest
import torch
from expert_data import NAMES, QUICK, make, model_inputs

from hf_specclip import SpecCLIPMoEConfig, SpecCLIPMoEForRegression
from hf_specclip.models.experts_specclip import ASINH, LINEAR, LOG
from specclip_training.studies.experts.data import group_folds
from specclip_training.studies.experts.fit import fit_gate, fit_select
from specclip_training.studies.experts.pool import fit_scale, limit_weights


@pytest.fixture(scope="module")
def data():
    return make(400, 1), make(150, 2), make(600, 3)


@pytest.fixture(scope="module")
def gate(data):
    return fit_gate(data[0], data[1], NAMES, QUICK)


@pytest.fixture(scope="module")
def select(data):
    return fit_select(data[0], data[1], NAMES, QUICK)


def errors(said, truth):
    with np.errstate(invalid="ignore"):
        return np.nanmean(np.abs(said.double().numpy() - truth)[:, :4], axis=0)


def test_folds_cut_no_group_and_are_even():
    groups = np.repeat(np.arange(40), np.arange(1, 41))
    folds = group_folds(groups, 5)
    assert all(len(set(folds[groups == g])) == 1 for g in range(40))
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= 5
    with pytest.raises(ValueError, match="more independent groups"):
        group_folds(np.zeros(9), 5)


def test_scales_shorten_heavy_tails_and_invert(gate, data):
    kinds = gate.scale.kind.tolist()
    assert kinds == [LINEAR, LOG, ASINH, LINEAR, LINEAR]
    known = torch.from_numpy(data[0].targets[:, :4]).float()
    padded = torch.cat([known, torch.full((len(known), 1), torch.nan)], dim=1)
    back = gate.scale.restore(gate.scale(padded))[:, :4]
    seen = known.isfinite()
    assert torch.allclose(back[seen], known[seen], rtol=1e-3, atol=1e-4)


def test_weights_follow_the_limits():
    model = SpecCLIPMoEForRegression(SpecCLIPMoEConfig(variables=["a"]))
    values = np.linspace(0, 1, 40)[:, None]
    fit_scale(model, values)
    error = np.where(np.arange(40) < 20, 0.1, 1.0)[:, None]
    error[39] = np.nan
    targets = model.scale(torch.from_numpy(values).float())
    weights = limit_weights(model, targets, values - error, values + error)
    assert weights.mean() == pytest.approx(1.0, abs=1e-5)
    assert weights[0] > 1.5 * weights[30]
    assert weights[39] > weights[30] * 0.99  # no limits: an ordinary row
    assert weights.max() < 2 * weights[39]  # the floor


def test_k_nearest_neighbours_equal_scikit_learn(select, data):
    from sklearn.neighbors import KNeighborsRegressor

    pool, _, test = data
    with torch.no_grad():
        said = select(**model_inputs(test)).expert_predictions.double().numpy()
    names = [expert["name"] for expert in select.config.experts]
    for name in ("spectrum", "text", "shared_spectrum"):
        for variable in (0, 3):
            known = np.isfinite(pool.targets[:, variable])
            model = KNeighborsRegressor(3).fit(
                pool.views[name][known], pool.targets[known, variable]
            )
            expected = model.predict(test.views[name])
            close = np.isclose(said[:, names.index(name), variable], expected, atol=1e-4)
            # Rows that share a text are as near as each other: either may be the third.
            assert close.mean() > (0.97 if name != "text" else 0.2), (name, variable)


def test_select_chooses_the_best_expert_on_validation(select, data):
    _, validation, _ = data
    with torch.no_grad():
        output = select(**model_inputs(validation))
    by_expert = np.stack(
        [errors(output.expert_predictions[:, e], validation.targets) for e in range(6)]
    )
    chosen = output.gate_weights[0, :4].argmax(dim=1).numpy()
    assert (chosen == by_expert.argmin(axis=0)).all()
    assert torch.allclose(output.gate_weights.max(dim=2).values, torch.ones(150, 5))


def test_the_gate_is_no_worse_than_its_best_expert_nor_than_the_guess(gate, select, data):
    test = data[2]
    with torch.no_grad():
        output, paper = gate(**model_inputs(test)), select(**model_inputs(test))
    mixed = errors(output.predictions, test.targets)
    by_expert = np.stack(
        [errors(said, test.targets) for said in output.expert_predictions.unbind(dim=1)]
    )
    names = [expert["name"] for expert in gate.config.experts]
    # The best one is chosen in hindsight on the very rows; 600 rows leave some per cent to luck.
    assert (mixed < 1.06 * by_expert.min(axis=0)).all(), mixed / by_expert.min(axis=0)
    assert (mixed < by_expert[names.index("median")]).all()
    assert (mixed < errors(paper.predictions, test.targets)).mean() >= 0.75
    assert torch.allclose(output.gate_weights.sum(dim=2), torch.ones(600, 5), atol=1e-5)


@pytest.mark.parametrize("panel", ["full", "retrieved"])
def test_intervals_have_their_nominal_coverage(gate, data, panel):
    test = data[2]
    with torch.no_grad():
        output = gate(**model_inputs(test, panel == "full"))
    assert (output.panels == ["full", "retrieved"].index(panel)).all()
    known = np.isfinite(test.targets)
    shares = {}
    for level in (68, 90):
        low, high = (output[f"{end}_{level}"].double().numpy() for end in ("lower", "upper"))
        inside = (low <= test.targets) & (test.targets <= high)
        shares[level] = inside[known].mean()
        assert abs(shares[level] - level / 100) < 0.06, shares
    assert shares[90] > shares[68]


def test_a_variable_without_data_stays_nan_and_leaves_the_others_alone(gate, data):
    with torch.no_grad():
        output = gate(**model_inputs(data[2]))
    assert output.predictions[:, 4].isnan().all()
    assert output.predictions[:, :4].isfinite().all()
    assert output.lower_90[:, :4].isfinite().all()


def test_a_fit_is_reproducible(gate, data):
    again = fit_gate(data[0], data[1], NAMES, QUICK)
    one, two = gate.state_dict(), again.state_dict()
    for name, value in one.items():
        assert torch.equal(value.nan_to_num(), two[name].nan_to_num()), name
