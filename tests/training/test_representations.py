"""Representations of a trained run."""

import numpy as np
import pytest
from tiny_dataset import RICH, SIZES, TEXT_DIM, make_run

from specclip_training.data.pairs import embed_texts, load_pairs
from specclip_training.engine.presets import load_preset
from specclip_training.stages.alignment import align
from specclip_training.stages.pretraining import pretrain
from specclip_training.studies.representations import REPRESENTATIONS, RunRepresentations


@pytest.fixture(scope="module", params=[[], RICH], ids=["frozen", "trained along"])
def representations(request, tiny_dataset, tiny_preset, tmp_path_factory):
    folder, cache = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("cache")
    preset = load_preset(tiny_preset, request.param)
    run = make_run(folder, preset, dataset=str(tiny_dataset), max_steps=6, cache_dir=cache)
    pairs = load_pairs(run.dataset, run.cache_dir)
    embed_texts(pairs, run.preset.text)
    pretrain(run, pairs)
    align(run, pairs)
    return run, pairs, RunRepresentations(run, pairs)


def test_every_split_has_all_parts_in_the_order_of_its_rows(representations):
    _, pairs, reps = representations
    text = pairs.texts.features(np.arange(1)).shape[1]
    widths = {"spectrum": 8, "text": text, "shared_spectrum": 8, "shared_text": 8}
    widths |= {"shared_both": 16, "everything": 8 + text + 16}
    for split, n in SIZES.items():
        part = reps[split]
        assert len(part) == n
        assert {name: part.matrix(name).shape for name in REPRESENTATIONS} == {
            name: (n, width) for name, width in widths.items()
        }
        assert np.array_equal(part.groups, pairs.splits[split].groups)
        for name in ("shared_spectrum", "shared_text"):
            np.testing.assert_allclose(
                np.linalg.norm(part.matrix(name), axis=1), 1.0, rtol=1e-5, err_msg=name
            )
        # Two detections of a source share its text.
        same = part.text_ids[:-1] == part.text_ids[1:]
        assert np.array_equal(part.shared_text[:-1][same], part.shared_text[1:][same])
        assert same.any()


def test_the_latent_before_alignment_is_kept_apart(representations):
    run, _, reps = representations
    part = reps["test"]
    frozen = run.preset.align.freeze_spectrum
    assert np.array_equal(part.spectrum, part.encoder) == frozen


def test_absent_sections_are_zero_and_absent_columns_nan(representations):
    _, pairs, reps = representations
    part = reps["train"]
    assert np.isnan(part.targets["powlaw_gamma"]).all()
    assert part.classes.tolist() == [None] * len(part)
    assert part.has_text.all()
    if pairs.texts.sentences is not None:
        return
    assert part.text.shape[1] == 3 * TEXT_DIM
    sections = part.text.reshape(len(part), 3, -1)
    mask = pairs.texts.section_mask[part.text_ids]
    assert not mask.all()
    assert (sections[~mask] == 0).all()
    assert (np.abs(sections[mask]).sum(axis=1) > 0).all()
