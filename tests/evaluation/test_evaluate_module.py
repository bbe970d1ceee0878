"""The `evaluate` module, loaded from its folder as a user would."""

from pathlib import Path

import numpy as np
import pytest

import hf_specclip.evaluation
from hf_specclip.evaluation import evaluate_retrieval

evaluate = pytest.importorskip("evaluate")
FOLDER = Path(hf_specclip.evaluation.__file__).parent / "modules" / "specclip_retrieval"


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.setattr("evaluate.config.HF_MODULES_CACHE", tmp_path / "modules", raising=False)
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path))


def pairs():
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(25, 6)).astype(np.float32)
    owner = np.concatenate([np.arange(25), rng.integers(0, 25, size=35)])
    spectra = (texts[owner] + rng.normal(size=(60, 6))).astype(np.float32)
    return spectra, texts, owner


def test_batches_give_what_the_library_gives(module):
    spectra, texts, owner = pairs()
    for start in range(0, 60, 16):
        rows = slice(start, start + 16)
        module.add_batch(
            predictions=spectra[rows],
            references=texts[owner[rows]],
            text_ids=[f"text {i}" for i in owner[rows]],
            groups=[str(i % 7) for i in owner[rows]],
        )
    result = module.compute(n_bootstrap=50, seed=3, ks=(4, 10))
    groups = [str(i % 7) for i in owner]
    expected = evaluate_retrieval(spectra, texts, owner, groups, n_bootstrap=50, seed=3, ks=(4, 10))
    assert result == expected
    assert result["spectrum_to_text"]["n_gallery"] == 25


def test_nan_is_refused_here_too(module):
    module.add_batch(
        predictions=[[1.0, float("nan")]], references=[[1.0, 0.0]], text_ids=["a"], groups=["a"]
    )
    with pytest.raises(ValueError, match="NaN"):
        module.compute()
