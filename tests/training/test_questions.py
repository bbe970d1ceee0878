"""Questions in words: what answers them is found, and what changes nothing is told as that."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from specclip_training.questions import CLASS, ENDS, NUMBER, questions_for, study_questions
from specclip_training.reports.blocks import to_markdown
from study_rows import invented_run, invented_split, unit

from hf_specclip import SpecCLIPConfig, SpecCLIPModel
from hf_specclip.literature.embedders.quantities import QuantityEmbedder
from hf_specclip.literature.embedders.terms import TermEmbedder
from hf_specclip.search.text_queries import TextQueries

SECTIONS = ("identity", "spectrum", "context")


def model_of(embedder: str, width: int) -> SpecCLIPModel:
    torch.manual_seed(1)
    config = SpecCLIPConfig(
        spectrum_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                         "intermediate_size": 16, "latent_dim": 8},
        text_config={"embedding_dim": width, "embedder_name": embedder, "sections": SECTIONS},
        shared_dim=8, projection_hidden_size=16,
    )  # fmt: skip
    return SpecCLIPModel(config).eval()


def texts(split, words):
    """The split with a summary for each row, in which every source has the same words."""
    summaries = [{"identity": words, "spectrum": None, "context": None}] * len(split)
    return replace(split, table=split.table.append_column("summary", pa.array(summaries)))


@pytest.fixture
def reps():
    train = texts(invented_split(400, "train"), "A Quasar, very hard; it is no LMXBs' kin.")
    return {"train": train, "test": invented_split(200, "test")}


def test_whether_texts_have_the_words_is_found_out(reps):
    found = {(q.about, q.words): q for q in questions_for(reps["train"])}
    assert found["QSO", ("quasar",)].told
    assert not found["QSO", ("QSO",)].told
    assert not found["LMXB", ("LMXB",)].told  # part of another word
    assert not found["hard_hs", ("very hard", "very soft")].told  # one of the two
    numbers = [q for q in found.values() if q.kind == NUMBER]
    assert {q.about for q in numbers} == {"powlaw_gamma"}  # the only one that is known
    high, low = np.nanquantile(reps["train"].targets["powlaw_gamma"], [0.75, 0.25])
    assert numbers[0].words == (f"photon index {high:.2f}", f"photon index {low:.2f}")
    assert {q.kind for q in found.values()} == {CLASS, ENDS, NUMBER}


def test_rows_that_lie_where_a_question_points_are_found(reps, tmp_path):
    width = TermEmbedder.dimension + QuantityEmbedder.dimension
    model = model_of("terms-1+quantities-2", width)
    model.save_pretrained(tmp_path / "model")
    queries = TextQueries(model)
    here = reps["test"]
    quasar = queries.embed_query("quasar")
    high, low = questions_for(reps["train"])[-1].words
    slope = queries.embed_query(high, "spectrum") - queries.embed_query(low, "spectrum")
    gamma = here.targets["powlaw_gamma"]
    steep = np.nan_to_num(gamma - np.nanmedian(gamma))
    points = np.where((here.classes == "QSO")[:, None], quasar, -quasar)
    points = unit(points + 3 * steep[:, None] * slope / np.linalg.norm(slope))
    reps["test"] = replace(here, shared_spectrum=points.astype(np.float32))

    study = study_questions(invented_run(tmp_path), reps, simulated=True)
    found = {tuple(q["words"]): q["auc"] for q in study.metrics["questions"]}
    assert found["quasar",]["low"] > 0.7
    assert found[high, low]["low"] > 0.7
    for figure in found.values():
        assert figure["low"] <= figure["value"] <= figure["high"]
    means = study.metrics["means"]
    same = [q["auc"]["value"] for q in study.metrics["questions"] if q["about"] == "powlaw_gamma"]
    assert means["powlaw_gamma, by a number"]["value"] == pytest.approx(np.mean(same))
    assert means["powlaw_gamma, by a number"]["n"] == 3
    # Classes that no row of the split has cannot be asked for.
    assert {q["about"] for q in study.metrics["questions"] if q["kind"] == CLASS} == set(
        here.classes
    )
    text = to_markdown("T", study.sections, tmp_path)
    assert "simulated" in text
    assert "| QSO | quasar | yes |" in text


def test_numbers_say_nothing_to_an_embedder_that_passes_over_them(reps, tmp_path):
    model_of("words-1024-1", 1024).save_pretrained(tmp_path / "model")
    study = study_questions(invented_run(tmp_path), reps)
    found = study.metrics["means"]["powlaw_gamma, by a number"]
    assert (found["low"], found["value"], found["high"]) == (0.5, 0.5, 0.5)


def test_what_cannot_be_asked_is_said(reps, tmp_path):
    model_of("nobody-knows@0", 16).save_pretrained(tmp_path / "model")
    study = study_questions(invented_run(tmp_path), reps)
    assert "nobody-knows@0" in study.metrics["skipped"]
    blank = np.full(200, None)
    targets = {name: np.full(200, np.nan) for name in reps["test"].targets}
    table = reps["test"].table
    dark = table.set_column(
        table.column_names.index("exposure"), "exposure", [np.full(200, np.nan, np.float32)]
    )
    reps["test"] = replace(reps["test"], classes=blank, targets=targets, table=dark)
    study = study_questions(invented_run(tmp_path), reps)
    assert "no rows" in study.metrics["skipped"]
