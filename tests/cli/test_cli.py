"""The command line on files and on a small trained model."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from chandra_pha import CHANNELS, write_pha

from hf_specclip.cli.arguments import run_elsewhere
from hf_specclip.cli.main import main
from hf_specclip.errors import SpecCLIPError
from hf_specclip.search.index import SpecCLIPIndex


@pytest.fixture
def spectra(tmp_path):
    rng = np.random.default_rng(0)
    shape = np.exp(-np.arange(CHANNELS) / 100)
    return [write_pha(tmp_path / f"source_{i}.pha", rng.poisson(shape * (i + 1))) for i in range(3)]


@pytest.fixture(scope="module")
def model_folder(tiny_run, tmp_path_factory):
    """A trained model without the experts that lie beside it, its papers on arXiv."""
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(tiny_run / "model", folder)
    index = SpecCLIPIndex.load(folder / "gallery")
    for n, entry in enumerate(index.entries):
        entry["papers"] = [
            {"id": f"2401.{n:05d}", "id_type": "arxiv", "title": f"On {n}", "year": 2024}
        ]
    index.save(folder / "gallery")
    return folder


def test_help_answers_without_the_heavy_imports():
    code = (
        "import sys; from hf_specclip.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'torch', 'transformers', 'astropy', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    for command in ("describe", "inspect", "embed", "dataset"):
        assert command in done.stdout


def test_a_command_without_its_packages_says_what_to_install():
    with pytest.raises(
        SpecCLIPError, match=r'no_such_package .*pip install "hf-specclip\[train\]"'
    ):
        run_elsewhere("no_such_package", [], "train")


def test_own_data_needs_the_extra_data_alone(spectra, tmp_path):
    for file in spectra:
        file.with_suffix(".txt").write_text("An X-ray binary.")
    code = (
        "import sys\n"
        "others = 'requests tenacity pyvo openai sklearn accelerate sentence_transformers'\n"
        "sys.modules.update(dict.fromkeys(others.split()))  # as if they were not installed\n"
        "from hf_specclip.cli.main import main\n"
        "assert main(['dataset', 'build', '--help']) == 1\n"
        "sys.exit(main(['dataset', 'from-files', '.', '-o', 'mine']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert 'pip install "hf-specclip[build]"' in done.stderr
    assert (tmp_path / "mine" / "specclip_dataset.json").is_file()


@pytest.fixture
def inspected(capsys):
    """Runs `specclip inspect --json`; gives the facts of the one file."""

    def run(*words):
        assert main(["inspect", "--json", *map(str, words)]) == 0
        (facts,) = json.loads(capsys.readouterr().out)
        return facts

    return run


def test_inspect_equals_the_file(spectra, inspected):
    facts = inspected(spectra[2])
    with fits.open(spectra[2]) as hdus:
        source, background = hdus[1].data["COUNTS"], hdus[2].data["COUNTS"]
    assert facts["total_counts"] == source.sum()
    assert facts["background_total_counts"] == background.sum()
    assert facts["background_scale"] == pytest.approx(0.05)
    assert facts["exposure_s"] == 20_000.0
    assert facts["obsid"] == 1234
    assert facts["detector"] == "ACIS-7"
    assert 0 < facts["counts_0.5_8kev"] < facts["total_counts"]
    assert facts["arf"] is None


def test_inspect_names_position_date_grating_and_links(spectra, inspected, capsys):
    date = "2001-10-05T00:33:43"
    with fits.open(spectra[0], mode="update") as hdus:
        about = {"RA": 83.6331, "DEC": -5.3911, "DATE-OBS": date, "GRATING": "HETG"}
        hdus[1].header.update(about)
    facts = inspected(spectra[0])
    assert (facts["ra"], facts["date"], facts["grating"]) == (83.6331, date, "HETG")
    assert {"SIMBAD", "NED", "ADS"} <= set(facts["links"])
    assert main(["inspect", str(spectra[0])]) == 0
    printed = capsys.readouterr().out
    place = "83.63310 -5.39110 deg (05:34:31.9 -05:23:28.0)"
    for text in (place, "2001-10-05", "HETG", "simbad/sim-coo?Coord=83.633100+-5.391100"):
        assert text in printed


def test_an_input_is_never_overwritten(spectra, capsys):
    content = spectra[0].read_bytes()
    for words in (["inspect", "--plot"], ["fit", "--plot"]):
        assert main([*words, str(spectra[0]), "--rmf", "none", str(spectra[0])]) == 1
        assert "is an input" in capsys.readouterr().err
    assert spectra[0].read_bytes() == content


def test_a_file_name_that_is_not_utf_8_loses_no_output(spectra, inspected, tmp_path, capsys):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\x1b[31m.pha")
    spectra[0].rename(name)
    assert inspected(name)["file"] == name
    assert main(["inspect", name]) == 0
    assert "caf\\udce9\\u001b[31m.pha" in capsys.readouterr().out


def test_inspect_shows_what_needs_no_energies(inspected, tmp_path, capsys):
    """XMM without its RMF: counts, background and bad channels, and how to get the rest."""
    header = {"TELESCOP": "XMM", "INSTRUME": "EPN", "DETNAM": "", "QUALITY": 2}
    path = write_pha(tmp_path / "pn.pha", np.ones(CHANNELS, int), **header)
    assert main(["inspect", "--plot", str(tmp_path / "pn.png"), str(path)]) == 1
    printed = capsys.readouterr()
    assert "give rmf=" in printed.err
    for text in ("XMM EPN", "energies unknown", "1,024 in all", "× 0.05", "20,000.0 s"):
        assert text in printed.out
    facts = inspected("--strict", path)
    assert (facts["counts_0.5_8kev"], facts["bad_channels"]) == (None, 0)


def test_inspect_draws(spectra, tmp_path):
    pytest.importorskip("matplotlib")
    image = tmp_path / "spectrum.png"
    assert main(["inspect", "--plot", str(image), *map(str, spectra[:2])]) == 0
    assert image.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "spectrum_2.png").exists()


@pytest.mark.parametrize("ending", [".parquet", ".ecsv"])
def test_embed_writes_a_row_for_each_readable_spectrum(
    spectra, model_folder, tmp_path, capsys, ending
):
    bad = tmp_path / "bad.pha"
    bad.write_text("not FITS")
    output = tmp_path / f"out{ending}"
    files = [str(spectra[0]), str(bad), str(spectra[2])]
    assert main(["embed", "--model", str(model_folder), *files, "-o", str(output)]) == 1
    assert "bad.pha" in capsys.readouterr().err
    if ending == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(output).to_pydict()
    else:
        table = Table.read(output)
    assert list(table["file"]) == [files[0], files[2]]
    vectors = np.asarray(list(table["embedding"]))
    assert vectors.shape == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert not np.allclose(vectors[0], vectors[1])
    assert np.asarray(list(table["latent"])).shape == (2, 8)


def literature(arguments, capsys):
    """Run `specclip describe --only literature --json`; return the literature of the first file."""
    assert main(["describe", "--only", "literature", "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)[0]["literature"]


def test_literature_comes_with_links(spectra, model_folder, capsys):
    arguments = ["--model", model_folder, "--top", "4", spectra[0]]
    texts = literature(arguments, capsys)
    scores = [text["score"] for text in texts]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    paper = texts[0]["papers"][0]
    assert paper["link"] == f"https://arxiv.org/abs/{paper['id']}"
    assert main(["describe", "--only", "literature", *map(str, arguments)]) == 0
    assert paper["link"] in capsys.readouterr().out


def test_an_ensemble_answers_as_a_model_does(spectra, model_folder, tmp_path, capsys):
    from hf_specclip import SpecCLIPEnsembleModel, SpecCLIPModel

    folder = tmp_path / "ensemble"
    shutil.copytree(model_folder, folder)
    member = SpecCLIPModel.from_pretrained(model_folder)
    SpecCLIPEnsembleModel.from_members([member]).save_pretrained(folder)
    of_model, of_ensemble = (
        literature(["--model", each, spectra[1]], capsys) for each in (model_folder, folder)
    )
    assert [hit["id"] for hit in of_model] == [hit["id"] for hit in of_ensemble]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "--model", "{tmp}/none", "{file}"], "no folder"),
        (["describe", "--model", "{tmp}", "{file}"], "not a model folder"),
        (["describe", "--model", "{model}", "--only", "variables", "{file}"], "has no moe"),
        (["embed", "--model", "{model}", "{file}", "-o", "{tmp}/out.pkl"], r".parquet"),
        (["inspect", "--arf", "x.arf", "{file}", "{file}"], "single FILE"),
    ],
)
def test_wrong_use_is_reported_in_a_sentence(
    arguments, message, spectra, model_folder, tmp_path, capsys
):
    places = {"tmp": tmp_path, "file": spectra[0], "model": model_folder}
    assert main([argument.format(**places) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_an_unknown_option_shows_the_usage_of_its_command(capsys):
    with pytest.raises(SystemExit) as error:
        main(["search", "blazar", "--top-k", "3"])
    assert error.value.code == 2
    said = capsys.readouterr().err
    assert "usage: specclip search" in said
    assert "--top K" in said


def test_an_image_without_a_suffix_is_refused(capsys):
    """Matplotlib adds one, and would write to another file than was named."""
    with pytest.raises(SystemExit):
        main(["inspect", "--plot", "/dev/null", "a.pha"])
    assert "end it in .png" in capsys.readouterr().err


def test_an_autoencoder_is_no_dual_encoder(spectra, tmp_path, capsys):
    from hf_specclip import SpecCLIPForSpectrumPreTraining, SpecCLIPSpectrumConfig

    config = SpecCLIPSpectrumConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    SpecCLIPForSpectrumPreTraining(config).save_pretrained(tmp_path / "spectrum")
    assert main(["describe", "--model", str(tmp_path / "spectrum"), str(spectra[0])]) == 1
    assert "a dual encoder is required" in capsys.readouterr().err


def test_a_response_that_is_named_but_absent_is_noted(spectra, capsys):
    with fits.open(spectra[0], mode="update") as hdus:
        hdus[1].header["ANCRFILE"] = "gone.arf"
    main(["inspect", str(spectra[0])])
    assert "gone.arf" in capsys.readouterr().out


def test_a_gallery_of_another_model_is_refused(spectra, model_folder, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    SpecCLIPIndex([{"id": "a"}], np.ones((1, 5))).save(folder / "gallery")
    assert main(["describe", "--model", str(folder), str(spectra[0])]) == 1
    assert "5 dimensions" in capsys.readouterr().err
