"""Parts saved beside a model: gallery, zero-shot classes, and the zero-shot study."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from study_rows import invented_run, invented_split
from tiny_dataset import SIZES

from hf_specclip import SECTIONS, SpecCLIPIndex, ZeroShotClasses
from hf_specclip.literature import get_embedder
from specclip_training.data.pairs import load_pairs
from specclip_training.stages.gallery import build_gallery, fit_classes
from specclip_training.studies.subject import Subject
from specclip_training.studies.zero_shot import study_zero_shot

NAME = get_embedder("offline").name


@pytest.fixture
def pairs(tiny_dataset):
    return load_pairs(tiny_dataset)


def vectors_of(pairs, seed=0):
    random = np.random.default_rng(seed)
    return {name: random.normal(size=(n, 8)).astype(np.float32) for name, n in pairs.sizes.items()}


def test_every_row_goes_in_with_its_split_and_group(pairs, tmp_path):
    spectra = vectors_of(pairs)
    texts = np.random.default_rng(1).normal(size=(len(pairs.texts), 8))
    index = build_gallery(pairs, texts, spectra, energy_range=(0.5, 8.0), seed=0, with_map=True)
    index.save(tmp_path / "gallery")
    index = SpecCLIPIndex.load(tmp_path / "gallery")
    assert len(index.spectra) == sum(SIZES.values())
    assert index.about["simulated"] is True
    assert index.about["dataset_fingerprint"] == pairs.fingerprint
    start = 0
    for split, n in SIZES.items():
        assert sum(entry["split"] == split for entry in index.spectra.entries) == n
        arrays = pairs.splits[split]
        for row, entry in enumerate(index.spectra.entries[start : start + n]):
            assert entry["group"] == arrays.groups[row]
            text = pairs.texts.entries[arrays.text_ids[row]]
            assert entry["text"] == text["id"]
            assert entry["source_name"] in text["source_names"]
            kept = index.spectra.columns["counts"][start + row]
            np.testing.assert_array_equal(kept, arrays.counts[row])
        start += n
    # A text carries the groups of its sources, so that a search can leave them out.
    for entry in index.entries:
        assert entry["groups"]
        assert all(group.startswith(entry["split"]) for group in entry["groups"])
    assert index.spectra.columns["map"].shape == (sum(SIZES.values()), 2)


class _Model(torch.nn.Module):
    """Points of texts that depend on the text alone."""

    def __init__(self):
        super().__init__()
        texts = SimpleNamespace(
            text_encoder_config=None, embedder_name=NAME, sections=SECTIONS, reads="sections",
            embedding_dim=384,
        )  # fmt: skip
        self.config = SimpleNamespace(text_config=texts)
        self.device = torch.device("cpu")

    def get_text_features(self, text_embeds, section_mask):
        torch.manual_seed(2)
        matrix = torch.randn(text_embeds.shape[1], 8)
        return SimpleNamespace(pooler_output=text_embeds @ matrix + 1e-3)


def with_classes(pairs, seed=0):
    random = np.random.default_rng(seed)
    for split in pairs.splits.values():
        kinds = pa.array(random.choice(["LMXB", "QSO", "SNR"], len(split)).tolist())
        split.table = split.table.drop_columns(["source_class"])
        split.table = split.table.append_column("source_class", kinds)
    pairs.texts.model = NAME
    return pairs


def cross_entropy(similarities, truth, temperature):
    scaled = torch.from_numpy(similarities).double() / temperature
    return torch.nn.functional.cross_entropy(scaled, torch.from_numpy(truth)).item()


def test_the_temperature_is_fitted_to_calibration_and_validation_alone(pairs):
    pairs, spectra = with_classes(pairs), vectors_of(pairs)
    classes, summary = fit_classes(_Model(), pairs, spectra, "offline")
    assert classes.classes == ("LMXB", "QSO", "SNR")
    assert classes.about["fitted_on"] == ["calibration", "validation"]
    assert classes.about["rows"] == SIZES["calibration"] + SIZES["validation"]
    assert "3 classes" in summary
    points = np.concatenate([spectra["calibration"], spectra["validation"]])
    names = [
        c
        for s in ("calibration", "validation")
        for c in pairs.splits[s].table["source_class"].to_pylist()
    ]
    truth = np.array([classes.classes.index(name) for name in names])
    similarities = classes.similarities(points)
    best = cross_entropy(similarities, truth, classes.temperature)
    for factor in (0.8, 1.25):
        assert best <= cross_entropy(similarities, truth, classes.temperature * factor) + 1e-9
    spectra["test"] = -spectra["test"]
    spectra["train"] = -spectra["train"]
    again, _ = fit_classes(_Model(), pairs, spectra, "offline")
    assert again.temperature == classes.temperature


def test_a_reason_is_given_where_there_are_no_classes(pairs):
    assert fit_classes(_Model(), pairs, vectors_of(pairs), "offline") == (
        None, "fewer than two classes with five rows of train"
    )  # fmt: skip
    pairs = with_classes(pairs)
    pairs.texts.model = "nobody-knows@0"
    classes, reason = fit_classes(_Model(), pairs, vectors_of(pairs), "offline")
    assert classes is None
    assert "nobody-knows@0" in reason


def test_the_study_compares_class_names_with_a_probe(tmp_path):
    reps = {name: invented_split(n, name) for name, n in (("train", 400), ("test", 200))}
    run = invented_run(tmp_path)
    study = study_zero_shot(Subject(run, reps, simulated=True))
    assert "skipped" in study.metrics
    kinds = sorted(set(reps["train"].classes.tolist()))
    centres = np.stack(
        [reps["train"].shared_spectrum[reps["train"].classes == k].mean(axis=0) for k in kinds]
    )
    ZeroShotClasses(kinds, centres, 0.2).save_pretrained(tmp_path / "model")
    study = study_zero_shot(Subject(run, reps, simulated=True))
    metrics = study.metrics
    known = ZeroShotClasses.from_pretrained(tmp_path / "model")
    shares = known.probabilities(reps["test"].shared_spectrum)
    right = np.array(kinds)[shares.argmax(axis=1)] == reps["test"].classes
    assert metrics["accuracy"]["value"] == pytest.approx(right.mean())
    recall = [right[reps["test"].classes == kind].mean() for kind in kinds]
    assert metrics["balanced_accuracy"]["value"] == pytest.approx(np.mean(recall))
    for name in ("accuracy", "balanced_accuracy", "top_3"):
        figure = metrics[name]
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert 0 < figure["chance"] < 1
    assert metrics["top_3"]["value"] >= metrics["accuracy"]["value"]
    assert metrics["probe"]["accuracy"]["value"] > metrics["accuracy"]["chance"]
    assert 0 <= metrics["calibration_error"] <= 1
    words = " ".join(str(block) for block in study.sections[0].blocks)
    assert "simulated" in words
