"""Use of a published run from an empty folder: wheel, requirements, script of docs/hub.md."""

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from ogip_writer import ebounds_hdu, matrix_hdu, spectrum_hdu, write
from packaging.requirements import Requirement
from server import HubServer

FILE = "acisf01575_001N001_r0085_pha3.fits.gz"
RESPONSE = "acisf01575_001N001_r0085_rmf3.fits.gz"
MAX_LINES = 15


@pytest.fixture(scope="module")
def section(repository):
    text = (repository / "docs" / "hub.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S))


def required(name, extras, seen):
    """The distributions that one requires, markers and extras heeded."""
    key = (re.sub(r"[-_.]+", "-", name).lower(), frozenset(extras))
    if key in seen:
        return
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return
    seen[key] = found
    for line in found.requires or ():
        need = Requirement(line)
        if need.marker is None or any(
            need.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        ):
            required(need.name, need.extras, seen)


def fresh_environment(folder, wheel, extras):
    """An environment that holds the wheel and what it says it requires, and nothing else.

    What is installed here is linked there, package by package: downloading it again would take
    minutes, and be the same.
    """
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    own = Path(sysconfig.get_path("purelib"))
    seen = {}
    required("hf-specclip", extras, seen)
    names = {
        file.parts[0]
        for (name, _), found in seen.items()
        if name != "hf-specclip"
        for file in found.files or ()
        if file.parts[0] not in ("..", "__pycache__")
    }
    for name in names:
        if (own / name).exists():
            (site / name).symlink_to(own / name)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    subprocess.run([*install, "--no-index", "-q", str(wheel)], check=True)
    return python


def test_the_script_is_short(section):
    assert len(section["python"].strip().splitlines()) <= MAX_LINES


@pytest.mark.slow
def test_the_readmes_script_from_an_empty_folder(repository, section, tiny_run, tmp_path):
    copy = tmp_path / "source"  # building leaves folders behind
    skip = shutil.ignore_patterns(".venv", ".git", "runs", "build", "dist", "*.egg-info", "tests")
    shutil.copytree(repository, copy, ignore=skip)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)]
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    python = fresh_environment(tmp_path / "venv", wheel, ("data",))

    work = tmp_path / "empty"
    (work / "runs").mkdir(parents=True)
    with HubServer(tmp_path / "hub", users={"hf_user": "user"}) as hub:
        environment = hub.environment(tmp_path / "hf_home")

        def run(*words, **more):
            done = subprocess.run(
                [str(word) for word in words], cwd=work, env={**environment, **more},
                capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-4000:]
            return done.stdout

        # Whoever publishes has the run; whoever reads has an empty folder and no token.
        (work / "runs" / "demo").symlink_to(tiny_run, target_is_directory=True)
        for line in section["console"].strip().splitlines():
            program, *words = shlex.split(line)
            assert program == "specclip"
            run(python.with_name("specclip"), *words, HF_TOKEN="hf_user")
        shutil.rmtree(work)
        work.mkdir()
        counts = np.random.default_rng(0).poisson(4 * np.exp(-np.arange(1024) / 200))
        header = {"EXPOSURE": 37_664.0, "TELESCOP": "CHANDRA", "INSTRUME": "ACIS"}
        write(work / FILE, spectrum_hdu(counts, header=header))
        diagonal = [[(16 * row + 1, [1 / 16] * 16)] for row in range(64)]
        energies = np.linspace(0.3, 11, 1025)
        response = matrix_hdu(diagonal, edges=energies[::16])
        write(work / RESPONSE, response, ebounds_hdu(energies))
        (work / "script.py").write_text(section["python"])
        said = run(python, "script.py")
        assert FILE in said
        assert "net counts" in said
        for word in ("literature", "similar sources", "catalogue variables", "outlier percentile"):
            assert said.count(word) >= 2, word  # the file, and the row of the dataset
        assert "hard_hs" in said  # what the tiny run has values of
        absent = run(python, "-c", "import importlib.util as u; print(u.find_spec('faiss'))")
        assert absent.strip() == "None", "the environment is not bare: this would prove nothing"
