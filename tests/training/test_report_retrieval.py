"""Report sections on retrieval: both directions, chance and the ideal observer."""

import numpy as np
import pytest

from hf_specclip.evaluation import evaluate_ranks, evaluate_retrieval, match_ranks, recall_curve
from specclip_training.reports.blocks import write_report
from specclip_training.reports.retrieval import IDEAL, retrieval_sections


@pytest.fixture(scope="module")
def measured():
    random = np.random.default_rng(0)
    texts = random.normal(size=(80, 6))
    owner = np.arange(120) % 80
    models, curves = {}, {"spectrum_to_text": {}, "text_to_spectrum": {}}
    for label, noise in (("paper", 2.0), (IDEAL, 0.5)):
        spectra = texts[owner] + noise * random.normal(size=(120, 6))
        ranks = match_ranks(spectra, texts, owner)
        models[label] = evaluate_ranks(ranks, owner, n_bootstrap=50)
        for direction, found in curves.items():
            found[label] = recall_curve(ranks, owner, direction=direction, n_bootstrap=50)
    return models, curves


def test_the_model_is_a_row_with_chance_and_the_ideal_observer(measured, tmp_path):
    models, curves = measured
    options = {"simulated": True, "ideal": models[IDEAL]}
    sections = retrieval_sections("paper", models["paper"], curves, tmp_path / "figures", **options)
    assert [s.title for s in sections] == [
        "Retrieval, spectrum → text", "Retrieval, text → spectrum"
    ]  # fmt: skip
    for section, direction in zip(sections, curves, strict=True):
        table = next(block for block in section.blocks if hasattr(block, "rows"))
        assert [row[0] for row in table.rows] == ["paper", IDEAL, "chance"]
        for label, row in zip(("paper", IDEAL), table.rows, strict=False):
            figure = models[label][direction]["recall@5%"]
            place = list(table.head).index("Recall@5%")
            assert row[place].startswith(f"**{figure['value']:.1%}** ({figure['low']:.1%} to")
        assert (tmp_path / "figures" / f"recall_{direction}.png").stat().st_size > 5000
    _, page = write_report(tmp_path, "Test", sections)
    text = page.read_text()
    assert text.count("data:image/png") == 2
    assert "simulated" in text
    assert "exact likelihood" in text


def test_figures_consistent_with_chance_are_named(tmp_path):
    random = np.random.default_rng(1)
    figures = evaluate_retrieval(
        random.normal(size=(60, 4)), random.normal(size=(60, 4)), np.arange(60), n_bootstrap=50
    )
    sections = retrieval_sections("random", figures, {}, tmp_path, simulated=False)
    assert "Consistent with chance" in str(sections[0].blocks)
