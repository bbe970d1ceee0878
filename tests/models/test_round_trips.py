"""Saved models and processors load, and are saved again, where the package is not installed.

The processes have nothing of this one: no network, a code cache of their own, and `hf_specclip`
blocked although it is installed here.
"""

import json
import os
import subprocess
import sys
import textwrap
from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from hf_specclip import (
    SpecCLIPFeatureExtractor,
    SpecCLIPForSpectrumPreTraining,
    SpecCLIPModel,
    SpecCLIPProcessor,
    SpecCLIPSpectrumConfig,
    SpecCLIPSpectrumModel,
    SpecCLIPTextConfig,
    SpecCLIPTextModel,
)

COUNTS = np.random.default_rng(0).poisson(1.0, (4, 40))

BARE = """
import sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hf_specclip":
            raise ImportError("hf_specclip is blocked")
sys.meta_path.insert(0, Blocked())
try:
    import hf_specclip
except ImportError:
    pass
else:
    raise SystemExit("the package can be imported: this test would prove nothing")

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining, AutoProcessor
)
trust = {"trust_remote_code": True}

# What takes seconds is imported once; each piece of code runs in a fork, which has read no model.
import json
import os
import traceback
from huggingface_hub import constants
from transformers import dynamic_module_utils, modeling_utils, pipelines

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(asked["folder"])
        dynamic_module_utils.HF_MODULES_CACHE = str(Path("modules").resolve())
        constants.HF_HUB_CACHE = str(Path("../hf_home/hub").resolve())
        folder, again = map(Path, asked["arguments"][:2])
        sys.argv[1:] = asked["arguments"]
        try:
            exec(asked["code"])
        except BaseException:
            Path("errors.txt").write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@cache
def bare_process():
    """A process without the package, one for all tests of this one; it ends with it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HF_"))}
    return subprocess.Popen(
        [sys.executable, "-I", "-c", BARE],
        env={**environment, "HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def bare(code, tmp_path, *arguments):
    work = tmp_path / "elsewhere"
    work.mkdir(exist_ok=True)
    asked = {"code": code, "arguments": list(map(str, arguments)), "folder": str(work)}
    process = bare_process()
    print(json.dumps(asked), file=process.stdin, flush=True)
    status = process.stdout.readline().strip()
    assert status == "0", (work / "errors.txt").read_text()


def spectrum_inputs(kind="physics"):
    extractor = SpecCLIPFeatureExtractor(kind, n_bins=40)
    return extractor, extractor(COUNTS, exposure=np.full(4, 1e3), return_tensors="pt")


def check_round_trip(body, tmp_path, folder, given, expected):
    """Load a folder without the package, save it anew and load that: the results stay to the bit.

    Args:
        body: code that loads from `place`, fills `results` from the tensors `given`, and lists in
            `saved` what is saved anew, each with its subfolder.
        tmp_path: takes what the process writes.
        folder: what was saved here.
        given: input tensors.
        expected: results here.

    Returns:
        The folder that was saved without the package.
    """
    again = tmp_path / "again"
    save_file(given, tmp_path / "inputs.safetensors")
    code = f"""
given = load_file(sys.argv[3])
for place in (folder, again):
{textwrap.indent(body.strip(), "    ")}
    results = {{name: value.detach().contiguous() for name, value in results.items()}}
    if place == folder:
        for part, loaded in saved:
            assert type(loaded).__module__.startswith("transformers_modules"), type(loaded)
            loaded.save_pretrained(again / part)
    save_file(results, place / "results.out")
"""
    bare(code, tmp_path, folder, again, tmp_path / "inputs.safetensors")
    for place in (folder, again):
        found = load_file(place / "results.out")
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert torch.equal(found[name].nan_to_num(), value.nan_to_num()), name
    return again


def test_dual_encoder_and_processor(small_model, tmp_path):
    extractor, inputs = spectrum_inputs()
    model = small_model(spectrum={"input_kind": "physics"}, contrastive_loss="infonce")
    texts = torch.randn(4, 18)
    model.spectrum_model.fit_statistics(inputs["spectrum_values"], inputs["spectrum_globals"])
    model.text_model.fit_statistics(texts)
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    SpecCLIPProcessor(extractor).save_pretrained(folder)
    output = model(**inputs, text_embeds=texts, return_loss=True)
    expected = {
        **inputs, "loss": output.loss, "spectra": output.spectrum_embeds,
        "texts": output.text_embeds,
    }  # fmt: skip
    body = """
assert type(AutoConfig.from_pretrained(place, **trust).spectrum_config).__name__ == (
    "SpecCLIPSpectrumConfig"
)
model = AutoModel.from_pretrained(place, **trust)
processor = AutoProcessor.from_pretrained(place, **trust)
extractor = AutoFeatureExtractor.from_pretrained(place, **trust)
rows = {"counts": given["counts"], "exposure": torch.full((4,), 1e3)}
inputs = processor(rows)
for name, value in extractor(rows, return_tensors="pt").items():
    assert torch.equal(value, inputs[name])
output = model(**inputs, text_embeds=given["texts"], return_loss=True)
results = {
    **inputs, "loss": output.loss, "spectra": output.spectrum_embeds, "texts": output.text_embeds
}
saved = [("", model), ("", processor)]
try:
    extractor("no_such_file.pha")
except ImportError as error:
    assert "pip install hf-specclip" in str(error)
else:
    raise SystemExit("a path was read without the package")
"""
    given = {"counts": torch.from_numpy(COUNTS), "texts": texts}
    again = check_round_trip(body, tmp_path, folder, given, expected)
    # What was saved there loads here, by the package's own classes.
    ours = SpecCLIPModel.from_pretrained(again)
    assert type(ours).__module__ == "hf_specclip.models.modeling_specclip"
    for name, value in model.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    assert {file.name for file in again.glob("*.py")} == {
        f"{name}_specclip.py"
        for name in (
            "checkpoint",
            "configuration",
            "feature_extraction",
            "layers",
            "loss",
            "modeling",
            "processing",
            "spectrum_features",
            "spectrum_input",
            "variables",
        )
    } | {"modeling_specclip_spectrum.py"}


@pytest.mark.parametrize("loss", ["mae", "poisson"])
def test_autoencoder_and_feature_extractor(small_spectrum, tmp_path, loss):
    extractor, inputs = spectrum_inputs("minmax")
    torch.manual_seed(0)
    config = SpecCLIPSpectrumConfig(**small_spectrum(reconstruction_loss=loss, mask_ratio=0.2))
    model = SpecCLIPForSpectrumPreTraining(config).eval()
    model.fit_statistics(inputs["spectrum_values"], target_counts=torch.from_numpy(COUNTS))
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    output = model(**inputs)
    expected = {"reconstruction": output.reconstruction, "latent": output.latent}
    body = """
model = AutoModelForPreTraining.from_pretrained(place, **trust)
extractor = AutoFeatureExtractor.from_pretrained(place, **trust)
inputs = extractor(given["counts"], return_tensors="pt")
output = model(**inputs)
encoder = AutoModel.from_pretrained(place, **trust)
assert torch.equal(encoder(**inputs).pooler_output, output.latent)
results = {"reconstruction": output.reconstruction, "latent": output.latent}
saved = [("", model), ("", extractor)]
"""
    check_round_trip(body, tmp_path, folder, {"counts": torch.from_numpy(COUNTS)}, expected)


def test_spectrum_and_text_models_alone(small_spectrum, tiny_bert, tmp_path):
    extractor, inputs = spectrum_inputs("minmax")
    torch.manual_seed(0)
    spectrum = SpecCLIPSpectrumModel(SpecCLIPSpectrumConfig(**small_spectrum())).eval()
    text = SpecCLIPTextModel(SpecCLIPTextConfig(text_encoder=str(tiny_bert))).eval()
    folder = tmp_path / "sides"
    spectrum.save_pretrained(folder / "spectrum")
    text.save_pretrained(folder / "text")
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    processor = SpecCLIPProcessor(extractor, tokenizer)
    processor.save_pretrained(folder / "text")
    # The text encoder is saved inside: the folder it came from is not looked for again.
    config = json.loads((folder / "text" / "config.json").read_text())
    config["text_encoder"] = str(tmp_path / "gone")
    (folder / "text" / "config.json").write_text(json.dumps(config))
    tokens = processor(text=["a soft star", "hard"])
    expected = {"latent": spectrum(**inputs).pooler_output, "text": text(**tokens).pooler_output}
    body = """
spectrum = AutoModel.from_pretrained(place / "spectrum", **trust)
text = AutoModel.from_pretrained(place / "text", **trust)
processor = AutoProcessor.from_pretrained(place / "text", **trust)
results = {
    "latent": spectrum(**processor(given["counts"])).pooler_output,
    "text": text(**processor(text=["a soft star", "hard"])).pooler_output,
}
saved = [("spectrum", spectrum), ("text", text), ("text", processor)]
"""
    check_round_trip(body, tmp_path, folder, {"counts": torch.from_numpy(COUNTS)}, expected)
