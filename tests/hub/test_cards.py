"""Cards of models and datasets: every number is measured, and the Hub accepts the form."""

import json
import re
import shutil

import pytest
import yaml
from card_rules import card_errors
from huggingface_hub import ModelCard

from hf_specclip.formatting import format_number
from hf_specclip.hub.cards import (
    MEASURED,
    PublishError,
    dataset_card,
    make_card,
    read_metrics,
    write_card,
)

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+)?")


@pytest.fixture
def metrics(stored_run):
    found = json.loads((stored_run / "metrics.json").read_text())
    # The stored run is too small to hold a rare class in its test split.
    auc = {"value": 0.9012, "low": 0.7123, "high": 0.9912, "chance": 0.5}
    together = {"n": 5, "detectors": {"combined": {"auc": auc, "recall@1%": auc}}}
    found["outliers"]["injection"] = {"new": {"TDE": together, "together": together}}
    return found


def card(stored_run, kind, metrics):
    return write_card(kind, stored_run / kind, metrics).read_text(encoding="utf-8")


def leaves(value):
    if isinstance(value, dict):
        yield from value  # the names of figures hold numbers, too
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


@pytest.mark.parametrize("kind", MEASURED)
def test_the_hub_reads_the_results(stored_run, metrics, kind, repository):
    text = card(stored_run, kind, metrics)
    assert not list(card_errors(text, "model"))
    data = ModelCard(text).data
    assert data.license == "apache-2.0"
    assert {"simulated-data", f"specclip-{kind}"} <= set(data.tags)
    assert "Trained on simulated data" in text
    for heading in ("Use", "Training data", "Recipe", "Results", "Limits", "Made with", "Citing"):
        assert f"\n## {heading}\n" in text
    for result in data.eval_results or []:
        assert result.dataset_split == "test"
        assert "simulated" in result.dataset_name
        assert result.metric_args["low"] <= result.metric_value <= result.metric_args["high"]
        assert result.metric_value in set(leaves(metrics))


def test_every_figure_of_retrieval_is_there(stored_run, metrics):
    data = ModelCard(card(stored_run, "model", metrics)).data
    measured = [
        (name, figure["value"])
        for direction in ("spectrum_to_text", "text_to_spectrum")
        for name, figure in metrics["retrieval"][direction].items()
        if isinstance(figure, dict)
    ]
    assert [(r.metric_type, r.metric_value) for r in data.eval_results] == measured


@pytest.mark.parametrize("kind", MEASURED)
def test_a_card_holds_no_number_that_was_not_measured(stored_run, metrics, kind, repository):
    """A number that is not in the template is in metrics.json or in the configuration."""
    body = card(stored_run, kind, metrics).split("\n---\n", 1)[1]
    template = (repository / "model_cards" / f"{kind}.md").read_text(encoding="utf-8")
    template += (repository / "model_cards" / "_measured.md").read_text(encoding="utf-8")
    words = set(NUMBER.findall(re.sub(r"{{.*?}}|{%.*?%}|{#.*?#}", " ", template, flags=re.DOTALL)))
    # A template by itself states no result: whole numbers, and the paper's and catalogue's names.
    assert {word for word in words if "." in word} <= {"2603.04516", "2.0"}
    config = stored_run / kind / ("detector.json" if kind == "outliers" else "config.json")
    known = set(words)
    values = [*leaves(metrics), *leaves(json.loads(config.read_text()))]
    for value in values:
        if isinstance(value, str):
            known |= set(NUMBER.findall(value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            size = abs(value)
            known |= {f"{size:{form}}" for form in (".1f", ".3g", ",.0f", ",", "g")}
            known |= {format_number(size), f"{100 * size:.1f}"}
    known |= {f"{sum(metrics['seconds'].values()):.0f}", "%"}
    found = set(NUMBER.findall(body))
    extra = {n for n in found - known if not re.search(rf"\b{re.escape(n)} parameters", body)}
    extra -= {str(len(json.loads(config.read_text()).get("experts", [])))}
    assert not extra


def forged(stored_run, old, new):
    path = stored_run / "model" / "README.md"
    text = path.read_text(encoding="utf-8")
    assert re.search(old, text)
    path.write_text(re.sub(old, new, text, count=1), encoding="utf-8")
    return make_card("model", stored_run / "model", "ada/x")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"\| Recall@1% \| [\d.]+%", "| Recall@1% | 99.9%"),  # a table's value
        (r"## Limits\n", "## Limits\n\nIt finds 97.3 of a hundred.\n"),  # a sentence's
        (r"## Limits\n", "## Limits\n\nRecall@1% is 95 %.\n"),  # a number of another place
        (r"value: 0\.\d+", "value: 0.999"),  # the front matter's
        (r"low: 0\.\d+\n", "low: 0.43217\n"),  # an interval's
        (r"in 1 process", "in 64 process"),
        (r"torch==2\.\d+", "torch==9.9"),
        (r"\| train \| \d+ \|", "| train | 11,447 |"),
    ],
)
def test_a_forged_number_is_found(stored_run, old, new):
    with pytest.raises(PublishError, match=r"README\.md"):
        forged(stored_run, old, new)


def test_words_may_be_edited(stored_run):
    added = "## Limits\n\nFor students; ask Ada. See arXiv:2401.01234, https://x.org/2.\n"
    text, figures = forged(stored_run, r"## Limits\n", added)
    assert "ask Ada" in text
    assert json.loads(figures)["retrieval"]
    text, _ = forged(stored_run, r"license: apache-2.0", "license: mit")
    assert ModelCard(text).data.license == "mit"


def test_paths_of_the_machine_stay_at_home(stored_run, metrics):
    metrics["dataset"] = "/home/somebody/sky"
    metrics["command"] = (
        "accelerate launch /home/somebody/training/reproduce.py --output /scratch/x"
    )
    text = card(stored_run, "model", metrics)
    assert "somebody" not in text
    assert "scratch" not in text
    assert "accelerate launch reproduce.py --output x" in text
    (stored_run / "metrics.json").write_text(json.dumps(metrics))
    _, published = make_card("model", stored_run / "model", "ada/x")
    assert b"somebody" not in published


def test_what_is_missing_is_named(stored_run, metrics, tmp_path):
    (stored_run / "metrics.json").rename(tmp_path / "elsewhere.json")
    with pytest.raises(PublishError, match="--metrics"):
        make_card("model", stored_run / "model", "ada/x")
    assert make_card("model", stored_run / "model", "ada/x", tmp_path / "elsewhere.json")
    for text, message in (
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ("[" * 99_999, "not JSON"),
    ):
        (stored_run / "metrics.json").write_text(text)
        with pytest.raises(PublishError, match=message):
            read_metrics(stored_run / "model", None)
    for name in ("retrieval", "versions", "splits"):
        fewer = {key: value for key, value in metrics.items() if key != name}
        with pytest.raises(PublishError, match="reproduce"):
            write_card("model", stored_run / "model", fewer)


def test_what_could_not_be_measured_is_left_open(stored_run, metrics):
    """Too few rows or groups: without_nan leaves None, and the card a dash."""
    table = metrics["retrieval"]["spectrum_to_text"]
    table["recall@1%"] = {"value": None, "low": None, "high": None, "chance": 0.1}
    table["recall@5%"] |= {"low": None, "high": None}
    experts = metrics["experts"][metrics["experts"]["headline"]]
    experts["variables"]["hard_hs"]["mae"] |= {"value": None, "low": None, "high": None}
    experts["mean_gain"] = dict.fromkeys(("value", "low", "high"))
    metrics["outliers"]["injection"]["new"]["together"]["detectors"]["combined"]["auc"]["low"] = (
        None
    )
    text = card(stored_run, "model", metrics)
    assert "| spectrum → text | Recall@1% | – | – – – |" in text
    assert not list(card_errors(text, "model"))
    first = ModelCard(text).data.eval_results[0]
    assert first.metric_type == "recall@5%"
    assert "no interval" in first.metric_name
    for kind in ("moe", "outliers"):
        assert not list(card_errors(card(stored_run, kind, metrics), "model"))


def test_strange_names_stay_names(stored_run, metrics):
    strange = {**metrics, "preset": "x: [\n---\ny", "dataset": "a: b #"}
    front = yaml.safe_load(
        card(stored_run, "model", strange).split("\n---\n")[0].removeprefix("---\n")
    )
    assert front["model-index"][0]["name"].startswith("SpecCLIP x: [")


def test_a_dataset_without_a_card_gets_one(tmp_path):
    (tmp_path / "data").mkdir()
    for split in ("train", "calibration"):
        (tmp_path / "data" / f"{split}-00000-of-00001.parquet").touch()
    info = {"name": "Sky", "simulated": True, "rows": {"train": 12}, "description": "Drawn by lot."}
    (tmp_path / "specclip_dataset.json").write_text(json.dumps(info))
    text = dataset_card(tmp_path, "ada/sky")
    assert not list(card_errors(text, "dataset"))
    data = ModelCard(text).data
    assert [f["split"] for f in data.configs[0]["data_files"]] == ["calibration", "train"]
    assert "> **Simulated.**" in text
    assert "| `train` | 12 |" in text
    assert 'load_dataset("ada/sky")' in text
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(PublishError, match="name the files by their splits"):
        dataset_card(tmp_path, "ada/sky")
