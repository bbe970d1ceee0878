"""Texts read by the observer, rows recognised, limits, and the command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from simulated_truth import log_likelihood

from specclip_datasets.__main__ import main
from specclip_datasets.folder import write_dataset
from specclip_datasets.info import DatasetFolderError
from specclip_datasets.simulation.builder import describe
from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs
from specclip_datasets.simulation.oracle.dataset import recognise, reopen
from specclip_datasets.simulation.oracle.report import describe_ceiling, to_text
from specclip_datasets.simulation.oracle.study import measure_ceiling, read_texts
from specclip_datasets.simulation.oracle.text import learn_mistakes, tabulate
from specclip_datasets.simulation.prose import Statement
from specclip_datasets.simulation.source_classes import CLASS_NAMES, FIELD_NAMES

KNOBS = Knobs(pairs=90, seed=3)


@pytest.fixture(scope="module")
def universe():
    return Universe(KNOBS)


@pytest.fixture(scope="module")
def table(universe):
    return universe.rows(np.arange(45))


@pytest.fixture(scope="module")
def info():
    return describe("custom", KNOBS)


@pytest.fixture(scope="module")
def ceiling(info, table):
    return measure_ceiling(info, table, members=2500, n_bootstrap=50)


def tabulated(universe, *texts):
    """Tables of texts that are never mistaken."""
    mistakes = learn_mistakes(universe.facts(np.arange(1))[0])
    return tabulate(texts, mistakes, np.zeros(len(texts)))


def stratum_of(class_name, field_kind):
    return CLASS_NAMES.index(class_name), FIELD_NAMES.index(field_kind)


def likelihood_of(texts, name, row, truth, stratum, **more):
    """(n,) likelihood of one text's statements about a quantity, for n true values."""
    return texts.likelihood(name, np.array([row]), np.atleast_1d(truth), stratum, **more)[0]


def test_tables_are_the_statements_own_likelihood(universe):
    sources = np.arange(len(universe.sources.names))
    summaries = universe.write_summaries(sources)
    texts, compared = read_texts(universe, summaries), 0
    for row, (facts, summary) in enumerate(zip(universe.facts(sources), summaries, strict=True)):
        stratum = stratum_of(facts.class_name, facts.field_kind)
        assert texts.allowed(np.array([stratum]))[row] > 0.0, summary.writer
        for name in ("shape", "shape2", "nh", "hardness", "medium_soft", "photons", "abundance"):
            about = [one for one in summary.statements if one.quantity == name]
            exact = np.exp(sum(log_likelihood(one, facts) for one in about))
            if not about or exact < 1e-3:
                continue
            [found] = likelihood_of(texts, name, row, getattr(facts, name), stratum)
            assert found == pytest.approx(exact, rel=0.05), (name, about)
            compared += 1
    assert compared > 100


def test_open_statements_leave_what_they_allow(universe):
    texts = tabulated(
        universe,
        [Statement("class", label="qso|star"), Statement("second", label="", chance=0.6)],
        [Statement("model", label="plasma"), Statement("nh", high=0.1, error=0.3, scale="log")],
        [Statement("distance_mpc", 7.8, 8.2, 0.05, "log")],
        [Statement("redshift", low=0.5, error=0.01)],
    )
    allowed = [set(np.array(CLASS_NAMES)[row]) for row in texts.classes]
    assert allowed[0] == {"qso", "star"}
    assert {"star", "cluster"} < allowed[1] < set(CLASS_NAMES)
    assert allowed[2] == set(CLASS_NAMES)
    # Nothing in a cluster of stars or in the plane is 8 Mpc away, and surveys know no distance.
    kinds = dict(zip(FIELD_NAMES, texts.kinds[2], strict=True))
    assert kinds.pop("galaxy") > 0.0
    assert max(kinds.values()) == 0.0
    second = texts.second_likelihood(np.arange(2), np.array([-1, 3, 3]), np.array([0, 0.5, 0.05]))
    np.testing.assert_allclose(second, [[1.0, 0.4, 1.0], [1.0, 1.0, 1.0]], rtol=1e-6)
    star = stratum_of("star", "survey")
    column = likelihood_of(texts, "nh", 1, [0.01, 0.1, 1.0], star)
    np.testing.assert_allclose(column, [1.0, 0.5, 0.0], atol=1e-2)
    redshift = likelihood_of(texts, "redshift", 3, [0.1, 0.5, 2.0], star)
    np.testing.assert_allclose(redshift, [0.0, 0.5, 1.0], atol=0.05)


def test_a_shape_is_read_by_the_class(universe):
    """The same number is a photon index for one class and a temperature for the other."""
    texts = tabulated(universe, [Statement("shape", 1.7, 1.9, 0.1)])
    for name in ("qso", "star"):
        found = likelihood_of(texts, "shape", 0, [1.8, 3.0], stratum_of(name, "survey"))
        assert found[0] > 0.6 > 0.01 > found[1]


def test_mistaken_texts_are_a_mixture(universe):
    """p(text | truth, mistaken) is the mean of p(text | mistaken truth) over mistakes."""
    facts = next(one for one in universe.facts(np.arange(40)) if one.class_name == "lmxb")
    said = (
        Statement("class", label="lmxb"),
        Statement("host", label=facts.field_kind),
        Statement("nh", 0.9, 1.1, 0.1, "log"),
        Statement("nh", 0.5, 2.0, 0.15, "log"),
    )
    mistakes = learn_mistakes(facts)
    texts = tabulate([said], mistakes, [0.1])
    for truth in (0.05, 0.3, 1.0):
        others = [replace(facts, nh=truth * factor) for factor in mistakes["nh"]]
        exact = [np.exp(sum(log_likelihood(one, o) for one in said[2:])) for o in others]
        [found] = likelihood_of(texts, "nh", 0, truth, stratum_of("lmxb", "galaxy"), wrong=True)
        assert found == pytest.approx(np.mean(exact), rel=0.05)


def test_a_luminosity_is_a_flux_at_the_distance_that_is_stated(universe):
    said = [
        Statement("class", label="lmxb"),
        Statement("host", label="galaxy"),
        Statement("luminosity", 0.95e38, 1.05e38, 0.2, "log"),
    ]
    near = [*said, Statement("distance_mpc", 1.95, 2.05, 0.05, "log")]
    far = [*said, Statement("distance_mpc", 19.5, 20.5, 0.05, "log")]
    texts = tabulated(universe, near, far, said)
    flux = np.geomspace(1e-17, 1e-11, 600)
    likelihood = texts.likelihood("flux", np.arange(3), flux, stratum_of("lmxb", "galaxy"))
    mean = [np.average(np.log(flux), weights=row) for row in likelihood]
    assert mean[0] - mean[1] == pytest.approx(2 * np.log(10.0), abs=0.05)
    spread = [
        np.sqrt(np.average((np.log(flux) - middle) ** 2, weights=row))
        for middle, row in zip(mean, likelihood, strict=True)
    ]
    assert spread[0] == pytest.approx(np.hypot(0.2, 2 * 0.05), rel=0.1)
    assert spread[2] > 3 * spread[0]


def test_what_the_observer_cannot_read_is_refused(universe):
    with pytest.raises(ValueError, match="colour_of_hair"):
        tabulated(universe, [Statement("colour_of_hair", 1.0, 2.0, 0.1)])
    with pytest.raises(ValueError, match="dragon is no class"):
        tabulated(universe, [Statement("class", label="qso|dragon")])


def test_rows_are_recognised_in_any_order(info, table):
    order = np.arange(45)[::-1]
    known = recognise(info, table.take(order))
    np.testing.assert_array_equal(known.detections, order)
    names = known.universe.sources.names[known.universe.detections.source[known.detections]]
    assert names.tolist() == table["source_name"].to_pylist()[::-1]


def test_rows_of_another_universe_are_refused(info, table):
    with pytest.raises(DatasetFolderError, match="does not come out of its recorded settings"):
        recognise(replace(info, knobs=info.knobs | {"seed": 4}), table)
    summaries = table["summary"].to_pylist()
    summaries[7] = summaries[7] | {"context": "Something else."}
    column = table.schema.get_field_index("summary")
    changed = table.set_column(
        column, table.schema.field(column), pa.array(summaries, table.schema.field(column).type)
    )
    with pytest.raises(DatasetFolderError, match=r"the text of .* differs"):
        recognise(info, changed)


def test_datasets_without_a_known_truth_are_refused(info):
    with pytest.raises(DatasetFolderError, match="only of rows"):
        reopen(replace(info, builder="local_tables", simulated=False))
    with pytest.raises(DatasetFolderError, match=r"does not know \(moons\)"):
        reopen(replace(info, knobs=info.knobs | {"moons": 3}))


def test_ceiling_has_figures_for_everything(ceiling, table):
    metrics = ceiling.metrics
    json.dumps(metrics)
    found = metrics["retrieval"]["spectrum_to_text"]
    assert found["recall@10%"]["value"] > 3 * found["recall@10%"]["chance"]
    assert metrics["curves"]["spectrum_to_text"]["direction"] == "spectrum_to_text"
    assert len(ceiling.ranks["spectrum_to_text"]) == len(table)
    assert metrics["by_writer"]["all"] == metrics["retrieval"]
    assert "seen writers" in metrics["by_writer"]
    assert "Recall@5%" in to_text(describe_ceiling(metrics))


def test_command_prints_a_table_and_refuses_other_data(tmp_path, capsys, info, table):
    folder, output = tmp_path / "dataset", tmp_path / "oracle.json"
    write_dataset(folder, {"validation": table}, info)
    code = main(["oracle", str(folder), "--members", "800", "--output", str(output)])
    assert code == 0
    printed = capsys.readouterr().out
    assert "Simulated" in printed
    assert "Recall@1%" in printed
    assert json.loads(output.read_text())["retrieval"]["spectrum_to_text"]["n_queries"] == 45
    assert main(["oracle", str(folder), "--split", "test"]) == 2
    assert "no rows in test" in capsys.readouterr().err
