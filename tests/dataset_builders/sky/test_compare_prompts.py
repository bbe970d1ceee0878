"""Comparison of prompts: cluster purity and recall."""

import json
from pathlib import Path

import numpy as np
import pytest
from building import paper, source, summariser_of
from chat_server import ChatServer

from specclip_datasets.__main__ import main
from specclip_datasets.sky.literature.compare_prompts import compare, format_comparison
from specclip_datasets.sky.literature.summaries import ModelSummariser

TABLES = Path(__file__).resolve().parents[4] / "shared" / "data" / "csc_semireal"
N = 20


class OneHot:
    """Embedder that separates photon indices of 1.x and 2.x."""

    name, dimension = "one hot", 2

    def embed(self, texts, *, progress=False):
        return np.array([[float("index of 1" in text), 1.0] for text in texts], np.float32)


def write(messages):
    """Return a summary with the photon index if the prompt requests it, else an invented value."""
    data = json.loads(messages[1]["content"])
    asked = "best model; photon index" in messages[0]["content"]
    index = data["papers"][0]["text"].split()[-1].rstrip(".")
    spectrum = f"The photon index is an index of {index}." if asked else "The distance is 777 kpc."
    return {"identity": None, "spectrum": spectrum, "context": None, "papers": []}


def test_prompt_with_quantities_has_higher_recall_and_purity(tmp_path, keys):
    index = np.where(np.arange(N) % 2, 1.5, 2.5)
    sources = [
        source(n, [paper(n, f"It has a photon index of {value}.")]) for n, value in enumerate(index)
    ]
    with ChatServer(write) as server:
        first = summariser_of(server, tmp_path)
        writers = [first, ModelSummariser(first.model, "v2")]
        values = dict.fromkeys(("hard_hs", "powlaw_gamma", "var_prob_b"), index)
        rows = compare(sources, values, writers, OneHot())
        compare(sources, values, writers, OneHot())
        assert len(server.bodies) == 2 * N  # the second comparison uses the cache
    v1, v2 = rows
    assert (v1["n"], v1["recall"], v1["invented"]) == (N, 0.0, 1.0)
    assert (v2["recall"], v2["invented"], v2["purity_powlaw_gamma"]) == (1.0, 0.0, 1.0)
    assert v1["purity_powlaw_gamma"] < 0.7
    assert "1.000 ± 0.000" in format_comparison(rows)


@pytest.mark.slow
@pytest.mark.skipif(not TABLES.is_dir(), reason="the shared tables are not here")
def test_baselines_without_a_model(capfd):
    words = ["prompts", "compare", str(TABLES), "--prompts", "extractive", "abstracts"]
    assert main([*words, "--sources", "60"]) == 0
    output = capfd.readouterr().out
    assert "60 sources" in output
    assert "No model was used" in output
