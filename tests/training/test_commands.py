"""Output folders: training results are overwritten, other files are not."""

import pytest

from specclip_training.engine.commands import prepare_output
from specclip_training.engine.presets import PresetError
from specclip_training.reproduce import OUTPUTS as MADE


def test_overwriting_removes_what_training_made_and_nothing_else(tmp_path):
    prepare_output(tmp_path, MADE, overwrite=False)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "recall.png").write_text("x")
    (tmp_path / "studies" / "outliers").mkdir(parents=True)
    (tmp_path / "report.md").write_text("x")
    (tmp_path / "notes.txt").write_text("mine")
    prepare_output(tmp_path, MADE, overwrite=False)
    assert (tmp_path / "report.md").exists()
    prepare_output(tmp_path, MADE, overwrite=True)
    assert not (tmp_path / "figures").exists()
    assert not (tmp_path / "studies").exists()
    assert not (tmp_path / "report.md").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_somebody_else_is_refused_whole(tmp_path, overwrite):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "my_thesis.pdf").write_text("years of work")
    with pytest.raises(PresetError, match="figures, which training did not write"):
        prepare_output(tmp_path, MADE, overwrite=overwrite)
    assert (tmp_path / "figures" / "my_thesis.pdf").exists()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    output, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    output.mkdir()
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("x")
    prepare_output(output, MADE, overwrite=False)
    (output / "logs").symlink_to(elsewhere)
    prepare_output(output, MADE, overwrite=True)
    assert not (output / "logs").is_symlink()
    assert (elsewhere / "kept").exists()
