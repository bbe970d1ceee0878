"""Figure of recall: its curves, labels and axes."""

import numpy as np
import pytest

from hf_specclip.evaluation import match_ranks, plot_recall_curve, recall_curve


@pytest.fixture(scope="module")
def curves():
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(120, 8))
    owner = rng.integers(0, 120, 150)
    found = {}
    for name, spread in (("best", 1.0), ("paper", 2.0), ("earlier", 2.1)):
        spectra = texts[owner] + spread * rng.normal(size=(150, 8))
        found[name] = recall_curve(match_ranks(spectra, texts, owner), owner, owner, n_bootstrap=40)
    return found


def test_file_is_written_with_curves_bands_and_chance(curves, tmp_path):
    path = tmp_path / "recall.png"
    ax = plot_recall_curve(curves, path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size > 20_000
    *drawn, chance = ax.lines
    for line, curve in zip(drawn, curves.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), curve["recall"])
    np.testing.assert_allclose(chance.get_ydata(), curves["best"]["chance"])
    assert chance.get_linestyle() == "--"
    assert len(ax.collections) == 3  # one band each
    assert len({line.get_color() for line in ax.lines}) == 4
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["best", "paper", "earlier", "chance"]
    assert "120 texts" in ax.get_xlabel()
    assert "150 queries" in ax.get_title(loc="left")


def test_curves_of_two_directions_are_refused(curves, tmp_path):
    other = dict(curves["best"], direction="text_to_spectrum")
    with pytest.raises(ValueError, match="one direction"):
        plot_recall_curve({"a": curves["best"], "b": other}, tmp_path / "recall.png")
