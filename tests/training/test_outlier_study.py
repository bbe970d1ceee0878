"""Study of outliers: the saved detector, rare sources, percentiles by class, the top 1 %."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from study_rows import invented, invented_run
from tiny_dataset import TINY

from hf_specclip.outliers.detector import SpecCLIPOutlierDetector
from hf_specclip.storage import write_json
from specclip_training.engine.presets import load_preset
from specclip_training.reports.blocks import write_report
from specclip_training.studies.outliers import (
    outlier_rows,
    percentiles_by_class,
    study_outliers,
)
from specclip_training.studies.rare_sources import SCARCITY, WRONG_TEXT, rare_source_test
from specclip_training.studies.subject import Subject
from specclip_training.study import main, options


def test_study_leaves_a_detector_and_finds_the_rare_kind(tmp_path):
    run, reps = invented_run(tmp_path), invented()
    study = study_outliers(Subject(run, reps, simulated=True))
    write_json(tmp_path / "metrics.json", study.metrics)
    detector = SpecCLIPOutlierDetector.from_pretrained(tmp_path)
    rows = outlier_rows(reps["test"])
    percentile = detector.score(rows).percentile()
    assert study.metrics["reference"] == "calibration and validation"
    assert study.metrics["top"][0]["percentile"] == pytest.approx(percentile.max())
    assert len(study.metrics["top"]) == 2
    rare = study.metrics["rare_sources"]
    assert rare["TDE"]["found"]
    assert rare["TDE"]["n"] == int((reps["test"].classes == "TDE").sum())
    assert rare["wrong text"]["recall"]["disagreement"] > rare["wrong text"]["recall"].get(
        "spectrum_neighbours", 0
    )
    assert set(study.metrics["by_class"]["combined"]) >= {"QSO", "Seyfert_1", "LMXB"}
    assert "quasars_less_other_nuclei" in study.metrics
    markdown, _ = write_report(tmp_path, "T", study.sections)
    assert "simulated" in markdown.read_text()


def test_without_classes_the_reason_is_given(tmp_path):
    reps = {n: replace(one, classes=np.full(len(one), None)) for n, one in invented().items()}
    study = study_outliers(Subject(invented_run(tmp_path), reps, split="validation"))
    assert not (tmp_path / "outliers").exists()  # that of the run, for `test`
    assert study.metrics["rare_sources"]["TDE"]["best"] is None
    assert study.metrics["by_class"] == {"isolation_forest": {}, "combined": {}}


def test_rows_without_an_area_leave_out_the_kinds_that_are_simulated_with_one():
    reps = invented()
    train, rows = (outlier_rows(reps[name]) for name in ("train", "test"))
    no_area = pa.nulls(len(rows), pa.list_(pa.float32(), 400))
    table = reps["test"].table.append_column("effective_area", no_area)
    results = rare_source_test(train, None, rows, table=table, describer=object())
    assert set(results) == {*SCARCITY, WRONG_TEXT}


def test_a_row_without_text_has_no_point_of_one():
    reps = invented()["test"]
    rows = outlier_rows(replace(reps, has_text=np.arange(len(reps)) > 0))
    assert np.isnan(rows.text[0]).all()
    assert np.isfinite(rows.text[1]).all()


def test_bands_hold_the_counts_of_their_bins():
    reps = invented()["test"]
    table, rows = reps.table, outlier_rows(reps)
    centres = 0.5 + 7.5 * (np.arange(400) + 0.5) / 400
    counts = np.array(table["counts"].to_pylist())
    background = np.array(table["background_counts"].to_pylist())
    medium = (centres >= 1.2) & (centres < 2.0)
    source, behind = counts[:, medium].sum(axis=1), background[:, medium].sum(axis=1)
    np.testing.assert_allclose(rows.band_counts[:, 1], source - 0.1 * behind, rtol=1e-6)
    np.testing.assert_allclose(rows.band_errors[:, 1], np.sqrt(source + 0.01 * behind), rtol=1e-6)


def test_percentiles_by_class_are_medians_in_descending_order():
    percentile = np.r_[np.full(10, 90.0), np.linspace(0, 60, 11), [np.nan, 99.0]]
    classes = ["odd"] * 10 + ["plain"] * 11 + ["plain", "few"]
    found = percentiles_by_class(percentile, [*classes], np.arange(23) // 2, n_bootstrap=50)
    assert list(found) == ["odd", "plain"]
    assert found["plain"]["value"] == pytest.approx(30.0)
    assert found["plain"]["n"] == 11
    assert found["plain"]["low"] < 30 < found["plain"]["high"]
    assert found["odd"]["low"] == found["odd"]["high"] == 90.0


def test_a_run_that_is_not_finished_is_refused(tmp_path):
    preset = tmp_path / "tiny.yaml"
    preset.write_text(TINY)
    words = ["outliers", "--config", preset, "--dataset", "nowhere", "--output", tmp_path / "run"]
    arguments = options().parse_args([str(word) for word in words])
    with pytest.raises(ValueError, match=r"has no model/.*reproduce.py"):
        main(arguments, load_preset(preset))
