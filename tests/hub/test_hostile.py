"""Hostile checkpoints, cards and detectors are refused without running or reading anything.

What is loaded here would write a file if it ran, or hold a word from outside the folder.
"""

import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from hf_specclip import (
    SpecCLIPFeatureExtractor,
    SpecCLIPForSpectrumPreTraining,
    SpecCLIPIndex,
    SpecCLIPModel,
    SpecCLIPMoEForRegression,
    SpecCLIPOutlierDetector,
    SpecCLIPProcessor,
)
from hf_specclip.classify.zero_shot import ZeroShotClasses
from hf_specclip.hub.cards import PublishError, write_card
from hf_specclip.hub.publish import files_to_publish, publish
from hf_specclip.search.vocabulary import Vocabulary

CLASSES = {
    "model": SpecCLIPModel,
    "moe": SpecCLIPMoEForRegression,
    "spectrum": SpecCLIPForSpectrumPreTraining,
}


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def bomb(tmp_path):
    target = tmp_path / "exploded"
    yield pickle.dumps(Bomb(target))
    assert not target.exists()


def change_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("kind", CLASSES)
def test_pickled_weights_are_refused(stored_run, bomb, kind):
    folder = stored_run / kind
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(bomb)
    for load in (CLASSES[kind], AutoModel):
        with pytest.raises(OSError, match=r"pytorch_model\.bin.*Convert the weights"):
            load.from_pretrained(folder)
    with pytest.raises(ValueError, match="safetensors weights only"):
        CLASSES[kind].from_pretrained(folder, use_safetensors=False)
    with pytest.raises(PublishError, match=r"has no model\*\.safetensors"):
        files_to_publish(kind, folder)
    (folder / "model.safetensors").write_bytes(bomb)  # a pickle under another name
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(Exception, match=r"(?i)header|safetensors"):
        CLASSES[kind].from_pretrained(folder)


def test_pickles_are_refused_from_the_hub_too(local_hub, stored_run, bomb):
    from huggingface_hub import HfApi

    HfApi().create_repo("ada/pickled")
    folder = stored_run / "moe"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(bomb)
    HfApi().upload_folder(folder_path=folder, repo_id="ada/pickled")
    with pytest.raises(OSError, match="safetensors"):
        SpecCLIPMoEForRegression.from_pretrained("ada/pickled")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(attn_implementation="mallory/kernel"), "download and run a kernel"),
        (lambda c: c.update(_attn_implementation_internal="m/k"), "download and run a kernel"),
        (lambda c: c.update(attn_implementation={"spectrum_config": "m/k"}), "run a kernel"),
        (lambda c: c["spectrum_config"].update(attn_implementation="m/k"), "spectrum_config"),
        (lambda c: c.update(quantization_config={"quant_method": "gptq"}), "quantization_config"),
        (lambda c: c.update(transformers_weights="../x.safetensors"), "transformers_weights"),
        (lambda c: c["text_config"].update(text_encoder="/etc"), "read from another place"),
        (lambda c: c["spectrum_config"].update(hidden_size=10**9), "asks for .* numbers"),
        (lambda c: c["spectrum_config"].update(num_hidden_layers=10**9), "must be 0 to 1000"),
        (lambda c: c.update(projection_layers=10**9), "projection_layers"),
        (lambda c: c["text_config"].update(embedding_dim=10**9), "asks for .* numbers"),
        (lambda c: c["text_config"].update(text_encoder_config={
            "model_type": "bert", "hidden_size": c["text_config"]["embedding_dim"],
            "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 10**9,
        }), "asks for .* numbers"),
        (lambda c: c.update(padding=["x" * 1000] * 5000), "larger than"),
    ],
)  # fmt: skip
def test_configurations_that_lead_elsewhere(stored_run, change, message):
    folder = stored_run / "model"
    change_config(folder, change)
    with pytest.raises(Exception, match=message):
        SpecCLIPModel.from_pretrained(folder)


def test_a_configuration_names_no_code_without_trust(stored_run, tmp_path):
    folder = stored_run / "model"
    ran = tmp_path / "ran"
    (folder / "modeling_specclip.py").write_text(
        f"open({str(ran)!r}, 'w')\nclass SpecCLIPModel: pass\n"
    )
    (folder / "configuration_specclip.py").write_text(f"open({str(ran)!r}, 'w')\n")
    assert type(AutoConfig.from_pretrained(folder)).__module__.startswith("hf_specclip")
    model = AutoModel.from_pretrained(folder)
    assert type(model).__module__ == "hf_specclip.models.modeling_specclip"
    SpecCLIPModel.from_pretrained(folder)
    SpecCLIPProcessor.from_pretrained(folder)
    SpecCLIPFeatureExtractor.from_pretrained(folder)
    assert not ran.exists()


def test_weights_lie_in_the_folder(stored_run, tmp_path):
    folder = stored_run / "spectrum"
    weights = load_file(folder / "model.safetensors")
    (tmp_path / "elsewhere").mkdir()
    outside = tmp_path / "elsewhere" / "secret.safetensors"
    shutil.move(folder / "model.safetensors", outside)
    index = folder / "model.safetensors.index.json"
    for name in (f"../../elsewhere/{outside.name}", str(outside), "..\\x.safetensors", "x.bin", 3):
        index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(weights, name)}))
        with pytest.raises(ValueError, match="weights must be"):
            SpecCLIPForSpectrumPreTraining.from_pretrained(folder)
    index.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="not an index of weights"):
        SpecCLIPForSpectrumPreTraining.from_pretrained(folder)
    index.unlink()
    (folder / "model.safetensors").symlink_to(outside)
    with pytest.raises(ValueError, match=r"model\.safetensors links to a file outside"):
        SpecCLIPForSpectrumPreTraining.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    (folder / "shard.safetensors").write_bytes(outside.read_bytes())
    names = dict.fromkeys(weights, "shard.safetensors")
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    assert SpecCLIPForSpectrumPreTraining.from_pretrained(folder)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    with pytest.raises(ValueError, match=r"adapter_config\.json"):
        SpecCLIPForSpectrumPreTraining.from_pretrained(folder)


def test_an_index_of_the_hub_leads_nowhere_either(local_hub, stored_run, tmp_path):
    from huggingface_hub import HfApi

    secret = Path(tmp_path / "cache" / "secret.safetensors")
    secret.parent.mkdir()
    save_file({"latent_head.weight": torch.full((8, 16), 7.0)}, secret)
    folder = stored_run / "spectrum"
    weights = load_file(folder / "model.safetensors")
    names = dict.fromkeys(weights, "../../../secret.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": names})
    )
    (folder / "model.safetensors").unlink()
    HfApi().create_repo("ada/traversal")
    HfApi().upload_folder(folder_path=folder, repo_id="ada/traversal")
    with pytest.raises(Exception, match=r"secret\.safetensors|index"):
        SpecCLIPForSpectrumPreTraining.from_pretrained("ada/traversal")
    assert secret.stat().st_nlink == 1


@pytest.mark.parametrize(
    ("load", "file"),
    [
        (SpecCLIPIndex, "model/gallery/entries.jsonl"),
        (SpecCLIPOutlierDetector, "outliers/reference.jsonl"),
        (ZeroShotClasses, "model/zero_shot/classes.safetensors"),
        (Vocabulary, "model/vocabulary/words.json"),
        (SpecCLIPFeatureExtractor, "model/processor_config.json"),
        (SpecCLIPMoEForRegression, "moe/config.json"),
    ],
)
def test_links_out_of_a_folder(stored_run, tmp_path, load, file):
    path = stored_run / file
    if not path.exists():
        pytest.skip("the stored run has none")
    outside = tmp_path / "outside"
    shutil.move(path, outside)
    path.symlink_to(outside)
    with pytest.raises(ValueError, match="links to a file outside"):
        load.from_pretrained(stored_run / file.split("/")[0])


def test_headers_that_ask_for_more_than_there_is(stored_run):
    huge = json.dumps(
        {"embeddings": {"dtype": "F32", "shape": [2**40, 8], "data_offsets": [0, 2**45]}}
    )
    bad = {
        "long": struct.pack("<Q", 2**62) + b"{}",
        "absurd": struct.pack("<Q", len(huge)) + huge.encode(),
        "empty": b"",
    }
    for content in bad.values():
        (stored_run / "spectrum" / "model.safetensors").write_bytes(content)
        with pytest.raises(Exception, match=r"(?i)header|safetensors"):
            SpecCLIPForSpectrumPreTraining.from_pretrained(stored_run / "spectrum")
        with pytest.raises(PublishError, match="damaged"):
            write_card("spectrum", stored_run / "spectrum", metrics_of(stored_run))


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


def test_words_of_metrics_are_not_templates(stored_run, tmp_path):
    metrics = metrics_of(stored_run)
    ran = tmp_path / "ran"
    evil = "{{ cycler.__init__.__globals__.os.mkdir('PLACE') }}{% include '/etc/passwd' %}"
    evil = evil.replace("PLACE", str(ran))
    for name in ("preset", "dataset", "text_model", "command"):
        metrics[name] = evil
    metrics["preset"] = evil + "\n---\nlicense: mit\n# A heading"
    card = write_card("model", stored_run / "model", metrics).read_text(encoding="utf-8")
    assert "{{ cycler" in card
    assert "\n# A heading" not in card
    assert not ran.exists()


def test_a_hostile_card_is_data(local_hub, stored_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = stored_run / "model" / "README.md"
    card.write_text("---\ntags: !!python/object/apply:os.mkdir ['ran']\n---\n")
    with pytest.raises(PublishError, match="not YAML"):
        publish("model", stored_run / "model", "ada/stored")
    assert not (tmp_path / "ran").exists()
