"""Paired comparison of synthetic runs, and the runs it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_specclip.evaluation import GroupBootstrap
from specclip_training.compare import ComparisonError, comparison_study, main, options

N, GALLERY = 200, 100
GROUPS = [f"g{i // 4}" for i in range(N)]
RANDOM = np.random.default_rng(0)
PAPER = RANDOM.integers(1, GALLERY + 1, N).astype(float)
BETTER = np.maximum(1, np.floor(PAPER / 2))
IDEAL = np.maximum(1, np.floor(PAPER / 4))
ERROR = RANDOM.exponential(1.0, N)


def make_run(
    folder: Path,
    preset: str,
    ranks: np.ndarray = PAPER,
    *,
    seed: int = 0,
    fingerprint: str = "same",
    errors: dict | None = None,
    settings: dict | None = None,
    ideal: np.ndarray | None = None,
    ids: str = "q",
) -> Path:
    """Write the artifacts of a run that a comparison reads."""
    (folder / "evaluation").mkdir(parents=True)
    chance = {
        name: {"value": 0.5, "low": 0.4, "high": 0.6, "chance": value}
        for name, value in (("recall@1%", 0.01), ("recall@5%", 0.05), ("median_rank", 50.5),
                            ("median_rank_fraction", 0.505))
    }  # fmt: skip
    metrics = {
        "dataset": "made by hand", "dataset_fingerprint": fingerprint, "simulated": True,
        "preset": preset, "seed": seed, "max_steps": None, "text_model": "test",
        "settings": {"evaluation": {"ks": [1.0, 5.0]}, **(settings or {})},
        "splits": {"test": N},
        "retrieval": dict.fromkeys(("spectrum_to_text", "text_to_spectrum"), chance),
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(metrics))
    tensors = {}
    for direction in ("spectrum_to_text", "text_to_spectrum"):
        tensors[f"test.{direction}.greater"] = ranks - 1
        for part in ("tied", "tied_right", "right"):
            tensors[f"test.{direction}.{part}"] = np.ones(N, np.int64)
        tensors[f"test.{direction}.gallery"] = np.array([GALLERY])
    if ideal is not None:
        tensors["test.spectrum_to_text.ideal"] = ideal
    save_file(tensors, folder / "evaluation" / "ranks.safetensors")
    queries = {"ids": [f"{ids}{i}" for i in range(N)], "groups": GROUPS}
    (folder / "evaluation" / "queries.json").write_text(
        json.dumps({"test": dict.fromkeys(("spectrum_to_text", "text_to_spectrum"), queries)})
    )
    if errors:
        save_file(
            {f"test.{method}.{name}": values for method, found in errors.items()
             for name, values in found.items()},
            folder / "evaluation" / "errors.safetensors",
        )  # fmt: skip
    return folder


def compare(tmp_path, *runs):
    return comparison_study(list(runs), tmp_path / "figures")


def test_differences_are_paired_by_query(tmp_path):
    study = compare(
        tmp_path,
        make_run(tmp_path / "paper", "paper"),
        make_run(tmp_path / "best", "best", BETTER),
    )
    retrieval = study.metrics["retrieval"]["spectrum_to_text"]
    for k in (1, 5):
        paper, best = (float((ranks <= k).mean()) for ranks in (PAPER, BETTER))
        assert retrieval["presets"]["paper"][f"recall@{k}%"]["value"] == pytest.approx(paper)
        assert retrieval["presets"]["best"][f"recall@{k}%"]["value"] == pytest.approx(best)
        figure = retrieval["differences"]["best"][f"recall@{k}%"]
        assert figure["value"] == pytest.approx(best - paper)
        bootstrap = GroupBootstrap(GROUPS, 1000, seed=0)
        before, after = (ranks <= k for ranks in (PAPER, BETTER))
        low, high = bootstrap.interval(bootstrap.means(after.astype(float) - before))
        assert (figure["low"], figure["high"]) == pytest.approx((low, high))
    assert retrieval["presets"]["paper"]["recall@1%"]["chance"] == 0.01
    log = retrieval["differences"]["best"]["mean_log_rank"]
    assert log["value"] == pytest.approx(np.log(BETTER).mean() - np.log(PAPER).mean())
    # Unpaired, the two would differ by their whole spread; query by query it is far surer.
    alone = retrieval["presets"]["paper"]["mean_log_rank"]
    assert log["high"] - log["low"] < 0.5 * (alone["high"] - alone["low"])
    median = retrieval["differences"]["best"]["median_rank"]["value"]
    assert median == np.median(BETTER) - np.median(PAPER)


def test_several_seeds_are_given_by_their_median(tmp_path):
    ranks = [PAPER, BETTER, np.full(N, float(GALLERY))]
    runs = [make_run(tmp_path / f"p{s}", "paper", r, seed=s) for s, r in enumerate(ranks)]
    study = compare(tmp_path, *runs, make_run(tmp_path / "best", "best", BETTER))
    assert study.metrics["presets"]["paper"]["seeds"] == [0, 1, 2]
    figure = study.metrics["retrieval"]["spectrum_to_text"]["presets"]["paper"]["recall@5%"]
    values = [float((r <= 5).mean()) for r in ranks]
    assert figure["seeds"] == pytest.approx(values)
    assert figure["value"] == pytest.approx(np.median(values))
    assert "seeds 0.0% to" in str(study.sections[1].blocks[0])


def test_errors_are_compared_on_rows_common_to_all_methods(tmp_path):
    some = np.where(np.arange(N) % 3 == 0, np.nan, ERROR)
    paper = {"spectrum": {"gamma": ERROR, "nh": ERROR}, "moe": {"gamma": some, "nh": ERROR / 2}}
    best = {"moe": {"gamma": ERROR / 4, "nh": ERROR / 4}}
    study = compare(
        tmp_path,
        make_run(tmp_path / "paper", "paper", errors=paper),
        make_run(tmp_path / "best", "best", BETTER, errors=best),
    )
    regression = study.metrics["regression"]
    valid = np.isfinite(some)
    assert regression["n_rows"] == {"gamma": int(valid.sum()), "nh": N}
    assert regression["mae"]["paper"]["moe"]["gamma"]["value"] == pytest.approx(ERROR[valid].mean())
    assert regression["mae"]["best"]["moe"]["gamma"]["value"] == pytest.approx(
        ERROR[valid].mean() / 4
    )
    gain = regression["gain"]["best"]["moe"]
    assert gain["spectrum"]["mean"]["value"] == pytest.approx(0.75)
    assert gain["moe"]["gamma"]["value"] == pytest.approx(0.75)
    assert gain["moe"]["nh"]["value"] == pytest.approx(0.5)
    assert gain["moe"]["mean"] == pytest.approx({"value": 0.625, "low": 0.625, "high": 0.625})
    text = str(study.sections[-1].blocks)
    assert "MAE, moe" in text
    assert "62.5% (62.5% to 62.5%)" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fingerprint": "other"}, "other data or splits"),
        ({"ids": "x"}, "used different queries"),
        ({"preset": "paper", "seed": 0}, "second run of preset paper with seed 0"),
        ({"preset": "paper", "seed": 1}, "all runs are of one preset"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path, change, words):
    one = make_run(tmp_path / "a", "paper")
    other = make_run(tmp_path / "b", **{"preset": "best", **change})
    with pytest.raises(ComparisonError, match=words):
        compare(tmp_path, one, other)


def test_two_settings_under_one_name_are_two_presets(tmp_path):
    one = make_run(tmp_path / "a", "paper")
    other = make_run(tmp_path / "b", "paper", BETTER, settings={"model": {"shared_dim": 128}})
    assert list(compare(tmp_path, one, other).metrics["presets"]) == ["paper", "paper (2)"]


def test_a_folder_without_a_run_is_refused_with_advice(tmp_path):
    with pytest.raises(ComparisonError, match=r"run training/reproduce\.py"):
        compare(tmp_path, tmp_path / "nowhere", make_run(tmp_path / "a", "paper"))
    damaged = make_run(tmp_path / "b", "best")
    (damaged / "evaluation" / "ranks.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ComparisonError, match="b holds no finished run"):
        compare(tmp_path, damaged)


def test_the_command_writes_the_report(tmp_path, monkeypatch):
    errors = {"moe": {"gamma": ERROR}}
    runs = [
        make_run(tmp_path / "paper", "paper", ideal=IDEAL, errors=errors),
        make_run(tmp_path / "best", "best", BETTER, ideal=IDEAL, errors=errors),
    ]
    output = tmp_path / "comparison"
    words = [*map(str, runs), "--output", str(output)]
    monkeypatch.setattr("sys.argv", ["training/compare.py", *words])
    main(options().parse_args(words))
    metrics = json.loads((output / "comparison.json").read_text())
    assert metrics["command"].startswith("python training/compare.py")
    assert metrics["retrieval"]["spectrum_to_text"]["ideal"]["recall@1%"]["value"] > 0
    page = (output / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    for words in (
        "ideal observer",
        "chance",
        "best − paper",
        "Simulated",
    ):
        assert words in page, words
