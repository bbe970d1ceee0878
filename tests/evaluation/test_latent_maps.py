"""Maps of latent spaces and the figures of correlations and maps."""

import numpy as np
import pytest

from hf_specclip.evaluation.latent import correlate
from hf_specclip.evaluation.latent_plots import plot_correlations
from hf_specclip.search.map import map_points, sample_rows


@pytest.fixture(scope="module")
def clusters():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 30)
    return 8 * np.eye(3, 10)[labels] + random.normal(size=(90, 10)), labels


def test_what_cannot_be_mapped_is_refused(clusters):
    with pytest.raises(ValueError, match="at least 10"):
        map_points(clusters[0][:5])
    with pytest.raises(ValueError, match="finite"):
        map_points(np.full((20, 3), np.nan))


def test_sampled_rows_are_drawn_once_each():
    rows = sample_rows(1000, 100, seed=1)
    assert len(set(rows.tolist())) == 100
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, sample_rows(1000, 100, seed=1))
    np.testing.assert_array_equal(sample_rows(5, 100), np.arange(5))


def test_heat_map_shows_the_coefficients_with_a_ring_on_the_best(clusters, tmp_path):
    points, labels = clusters
    variables = {"label": labels.astype(float), "dim 4": points[:, 4], "none": np.full(90, np.nan)}
    found = correlate(points, variables, np.arange(90), n_bootstrap=20, n_permutations=20)
    path = tmp_path / "heat.png"
    figure = plot_correlations({"one": found, "two": found}, path)
    assert path.read_bytes()[:4] == b"\x89PNG"
    panel = figure.axes[0]
    shown = np.asarray(panel.images[0].get_array())
    rings = panel.collections[0].get_offsets()
    assert len(rings) == 2
    for column, row in np.asarray(rings).astype(int):
        assert abs(shown[row, column]) == pytest.approx(found.strength[row])
    assert f"{found.mean['value']:.2f}" in panel.get_title(loc="left")
    with pytest.raises(ValueError, match="same variables"):
        plot_correlations({})
