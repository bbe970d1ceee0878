"""Study of the latent spaces: its figures, and its messages where nothing can be measured."""

from dataclasses import replace

import numpy as np
from study_rows import invented, invented_run, invented_split

import specclip_training.studies.latent_space as latent_space
from hf_specclip.storage import write_json
from specclip_training.reports.blocks import Figure, to_markdown, write_report
from specclip_training.studies.subject import Subject


def test_study_finds_planted_correlations_classes_and_metadata(tmp_path):
    run = invented_run(tmp_path)
    study = latent_space.study_latent_space(Subject(run, invented(), simulated=True))
    write_json(tmp_path / "metrics.json", study.metrics)
    found = study.metrics["correlations"]["spectrum"]["variables"]
    assert found["hard_hs"]["dimension"] == 0
    assert found["hard_hs"]["low"] > 0.7 > found["hard_hs"]["null"]
    assert found["powlaw_gamma"]["value"] < 2 * found["powlaw_gamma"]["null"]
    assert found["bb_kt"]["value"] is None
    assert study.metrics["class_probe"]["text"]["accuracy"]["low"] > 0.8
    metadata = study.metrics["metadata"]
    assert metadata["exposure (log)"]["verdict"].startswith("above the bound")
    assert metadata["year"]["verdict"].startswith("below the bound")
    figures = [b.path for s in study.sections for b in s.blocks if isinstance(b, Figure)]
    assert len(figures) == 3
    assert all(path.is_file() and path.parent == tmp_path / "figures" for path in figures)
    markdown, _ = write_report(tmp_path, "T", study.sections)
    text = markdown.read_text()
    assert "simulated" in text
    assert "0.82" in text  # the paper's figure for hard_hs
    assert "**Verdict:**" in text


def test_missing_classes_and_metadata_are_reported(tmp_path):
    reps = {
        name: replace(one, classes=np.full(len(one), None))
        for name, one in invented(metadata=False).items()
    }
    run = invented_run(tmp_path)
    run.is_main = False  # another process draws the figures
    study = latent_space.study_latent_space(Subject(run, reps))
    assert not (tmp_path / "figures").exists()
    assert len(study.metrics["metadata"]["skipped"]) == 2
    assert "skipped" in study.metrics["class_probe"]
    text = to_markdown("T", study.sections, tmp_path)
    assert "simulated" not in text
    assert "No probe" in text


def test_a_split_of_a_few_rows_is_not_measured(tmp_path):
    reps = {**invented(), "test": invented_split(8, "test")}
    study = latent_space.study_latent_space(Subject(invented_run(tmp_path), reps))
    assert "8 rows" in study.metrics["skipped"]
