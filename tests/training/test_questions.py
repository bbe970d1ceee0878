"""Study of questions in words: its questions, areas under the curve, and reasons to skip."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from study_rows import invented_run, invented_split, unit

from hf_specclip import SpecCLIPConfig, SpecCLIPModel
from hf_specclip.literature.embedders.quantities import QuantityEmbedder
from hf_specclip.literature.embedders.terms import TermEmbedder
from hf_specclip.search.text_queries import TextQueries
from specclip_training.questions import CLASS, ENDS, NUMBER, questions_for, study_questions
from specclip_training.reports.blocks import to_markdown

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
    """Give every row of the split a summary of the same words."""
    summaries = [{"identity": words, "spectrum": None, "context": None}] * len(split)
    return replace(split, table=split.table.append_column("summary", pa.array(summaries)))


@pytest.fixture
def reps():
    train = texts(invented_split(400, "train"), "A Quasar, very hard; it is no LMXBs' kin.")
    return {"train": train, "test": invented_split(200, "test")}


def test_questions_are_marked_where_training_texts_have_their_words(reps):
    questions = {(q.about, q.words): q for q in questions_for(reps["train"])}
    assert questions["QSO", ("quasar",)].told
    assert not questions["QSO", ("QSO",)].told
    assert not questions["LMXB", ("LMXB",)].told  # part of another word
    assert not questions["hard_hs", ("very hard", "very soft")].told  # one of the two
    numbers = [q for q in questions.values() if q.kind == NUMBER]
    assert {q.about for q in numbers} == {"powlaw_gamma"}  # the only one that is known
    high, low = np.nanquantile(reps["train"].targets["powlaw_gamma"], [0.75, 0.25])
    assert numbers[0].words == (f"photon index {high:.2f}", f"photon index {low:.2f}")
    assert {q.kind for q in questions.values()} == {CLASS, ENDS, NUMBER}


def test_rows_near_a_question_get_a_high_area(reps, tmp_path):
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
    areas = {tuple(q["words"]): q["auc"] for q in study.metrics["questions"]}
    assert areas["quasar",]["low"] > 0.7
    assert areas[high, low]["low"] > 0.7
    for figure in areas.values():
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


def test_an_embedder_that_ignores_numbers_gets_chance(reps, tmp_path):
    model_of("words-1024-1", 1024).save_pretrained(tmp_path / "model")
    study = study_questions(invented_run(tmp_path), reps)
    area = study.metrics["means"]["powlaw_gamma, by a number"]
    assert (area["low"], area["value"], area["high"]) == (0.5, 0.5, 0.5)


def test_the_reason_of_a_skipped_study_is_given(reps, tmp_path):
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
