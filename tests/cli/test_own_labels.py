"""One's own labels from the command line to the description, the page and the pipeline."""

import json

import numpy as np
import pytest
from chandra_pha import CHANNELS, write_arf, write_pha

from hf_specclip.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six soft and six hard spectra of different sources, with a table of labels."""
    folder = tmp_path_factory.mktemp("labels")
    draw, channels = np.random.default_rng(0).poisson, np.arange(CHANNELS)
    rows = ["file;Label;steepness"]
    for number in range(24):
        slope = (60, 400)[number % 2]
        counts = draw(5 * np.exp(-channels / slope))
        write_pha(folder / f"s{number}.pha", counts, RA=10.0 + number, DEC=-5.0)
        write_arf(folder / f"s{number}.arf")
        if number < 20:
            rows.append(f"s{number}.pha;{'soft' if number % 2 == 0 else 'hard'};{1000 / slope}")
    text = "\n".join([*rows, "s21.pha;;", "gone.pha;soft;1"])
    for suffix in ("pha", "arf"):
        (folder / f"s19.{suffix}").rename(folder / f"caf\udce9.{suffix}")  # no UTF-8
    text = text.replace("s19", "caf\udce9")
    (folder / "labels.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    return folder


@pytest.fixture(scope="module")
def probe(folder):
    output = folder / "my_classes"
    words = ["--fit", str(folder / "labels.csv"), "-o", str(output)]
    assert main(["classify", *words]) == 1  # of gone.pha
    return output


def test_the_fit_reports_and_leaves_a_probe(probe):
    report = json.loads((probe / "probe.json").read_text())["report"]
    assert (report["n"], report["n_groups"]) == (20, 20)
    assert report["groups_from"] == "position of the source"
    assert report["balanced_accuracy"]["value"] > 0.9
    assert report["balanced_accuracy"]["guess"] == 0.5


def test_classify_describe_the_page_and_the_pipeline_read_it(probe, folder, capsys):
    from hf_specclip import Describer, pipeline
    from hf_specclip.app.html import render

    files = [str(folder / "s22.pha"), str(folder / "s23.pha")]
    assert main(["classify", "--probe", str(probe), "--json", *files]) == 0
    answers = [each["probes"][0] for each in json.loads(capsys.readouterr().out)]
    assert [next(iter(each["probabilities"])) for each in answers] == ["soft", "hard"]
    words = ["describe", "--probe", str(probe), "--only", "probes", files[1]]
    assert main(words) == 0
    assert "my_classes (own labels)" in capsys.readouterr().out
    description = Describer.from_pretrained(probes=[probe], parts=()).describe(files[0])
    assert description.to_table()["my_classes"][0] == "soft"
    assert "own labels" in description.to_html()
    assert "soft" in render("probes", description.probes)
    classify = pipeline("spectrum-classification", probe=str(probe))
    of_pipeline = classify(files)
    assert [each[0]["label"] for each in of_pipeline] == ["soft", "hard"]
    assert of_pipeline[0][0]["score"] == pytest.approx(max(answers[0]["probabilities"].values()))


def test_a_number_of_ones_own(folder, capsys):
    output = str(folder / "my_slope")
    words = ["--fit", str(folder / "labels.csv"), "--target", "steepness", "-o", output]
    assert main(["classify", *words]) == 1
    printed = capsys.readouterr()
    assert "median guess" in printed.out
    assert "gone.pha" in printed.err
    assert main(["classify", "--probe", output, "--json", str(folder / "s22.pha")]) == 0
    [answer] = json.loads(capsys.readouterr().out)[0]["probes"]
    assert answer["lower_90"] <= answer["value"] <= answer["upper_90"]
    assert answer["value"] == pytest.approx(1000 / 60, rel=0.5)


def test_another_model_is_refused(probe, folder, capsys):
    changed = json.loads((probe / "probe.json").read_text()) | {"fingerprint": "0" * 16}
    other = folder / "other_model"
    other.mkdir()
    (other / "probe.json").write_text(json.dumps(changed))
    (other / "probe.safetensors").write_bytes((probe / "probe.safetensors").read_bytes())
    assert main(["classify", "--probe", str(other), str(folder / "s1.pha")]) == 1
    assert "fit the labels again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("object,kind\na,b\n", "needs the columns file"),
        ("file,label\na.pha,soft\na.pha,hard\n", "two labels, soft and hard"),
        ("file,label\n", "no rows"),
        ("file,label\n" + "x" * 200_000, "cannot be read as a table"),
        ("file,label\ngone.pha,soft\n", "could be read"),
        ("file,label,mass\na.pha,soft,heavy\n", "no finite number"),
    ],
)
def test_a_table_that_cannot_be_used_is_reported(table, message, tmp_path, capsys):
    (tmp_path / "t.csv").write_text(table)
    words = ["classify", "--fit", str(tmp_path / "t.csv"), "-o", str(tmp_path / "out")]
    target = ["--target", "mass"] if "mass" in table else []
    assert main([*words, *target]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
