"""Pushes to a Hub and pulls from it: bit-equal, complete or not at all, with clear refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import HfApi, ModelCard, hf_hub_download, snapshot_download
from safetensors.torch import load_file

from hf_specclip import (
    SpecCLIPIndex,
    SpecCLIPModel,
    SpecCLIPMoEForRegression,
    SpecCLIPOutlierDetector,
)
from hf_specclip.cli.main import main
from hf_specclip.cli.publish import KINDS as NAMED
from hf_specclip.hub.publish import KINDS, PublishError, publish


def pulled(repo_id, **more):
    return Path(snapshot_download(repo_id, **more))


def head(repo_id, revision=None, repo_type="model"):
    return HfApi().repo_info(repo_id, revision=revision, repo_type=repo_type).sha


def change_weights(folder):
    path = folder / "model.safetensors"
    before, after = path.read_bytes(), bytearray(path.read_bytes())
    after[-1] ^= 1
    path.write_bytes(after)
    return before, bytes(after)


def test_the_command_and_the_library_name_the_same_kinds():
    assert tuple(KINDS) == NAMED


def test_what_is_pushed_comes_back_bit_by_bit(local_hub, stored_run):
    for kind in ("model", "moe", "spectrum", "outliers"):
        done = publish(kind, stored_run / kind, f"ada/stored-{kind}")
        assert done.changed
        folder = pulled(f"ada/stored-{kind}")
        assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
            *done.files,
            ".gitattributes",
        }
        for path in (stored_run / kind).rglob("*"):
            if path.is_file() and path.name not in ("README.md", "training.json"):
                same = folder / path.relative_to(stored_run / kind)
                assert same.read_bytes() == path.read_bytes(), path
    # Loaded by name: weights and statistics, bank, gallery, detector.
    model = SpecCLIPModel.from_pretrained("ada/stored-model")
    weights = load_file(stored_run / "model" / "model.safetensors")
    assert set(weights) <= set(model.state_dict())
    assert any("statistics" in name for name in weights)
    for name, value in weights.items():
        assert torch.equal(model.state_dict()[name], value), name
    moe = SpecCLIPMoEForRegression.from_pretrained("ada/stored-moe")
    weights = load_file(stored_run / "moe" / "model.safetensors")
    assert any(name.startswith("bank.") for name in weights)
    for name, value in weights.items():
        assert torch.equal(moe.state_dict()[name].nan_to_num(7.5), value.nan_to_num(7.5)), name
    gallery, own = (
        SpecCLIPIndex.from_pretrained(x) for x in ("ada/stored-model", stored_run / "model")
    )
    assert np.array_equal(gallery.embeddings, own.embeddings)
    assert gallery.entries == own.entries
    found = SpecCLIPOutlierDetector.from_pretrained("ada/stored-outliers")
    own_detector = SpecCLIPOutlierDetector.from_pretrained(stored_run / "outliers")
    assert np.array_equal(found.reference.spectrum, own_detector.reference.spectrum)
    assert np.array_equal(found.forest.threshold, own_detector.forest.threshold)


def test_the_card_is_the_runs_under_its_name(local_hub, stored_run):
    publish("model", stored_run / "model", "ada/stored")
    card = ModelCard.load("ada/stored")
    assert 'name = "ada/stored"' in card.text
    assert "specclip-model" in card.data.tags
    metrics = json.loads((stored_run / "metrics.json").read_text())
    beside = json.loads(Path(hf_hub_download("ada/stored", "metrics.json")).read_text())
    first = card.data.eval_results[0]
    table = metrics["retrieval"]["spectrum_to_text"]
    assert first.metric_value == table[first.metric_type]["value"]
    assert first.metric_args["low"] == table[first.metric_type]["low"]
    assert beside["retrieval"] == metrics["retrieval"]
    for name in ("torch", "transformers", "hf_specclip"):
        pin = f"{name.replace('_', '-')}=={metrics['versions'][name].split('+')[0]}"
        assert pin in card.text


def test_revisions_and_a_second_push(local_hub, stored_run):
    first = publish("model", stored_run / "model", "ada/stored")
    again = publish("model", stored_run / "model", "ada/stored")
    assert (again.changed, again.commit) == (False, first.commit)
    gallery = stored_run / "model" / "gallery" / "entries.jsonl"
    lines = gallery.read_text().splitlines(keepends=True)
    gallery.write_text("".join([lines[0].replace('"split"', '"sort"'), *lines[1:]]))
    trial = publish("model", stored_run / "model", "ada/stored", revision="trial")
    assert head("ada/stored") == first.commit
    assert head("ada/stored", "trial") == trial.commit != first.commit
    entries = [
        SpecCLIPIndex.from_pretrained("ada/stored", revision=revision).entries[0]
        for revision in ("main", "trial", first.commit)
    ]
    assert "split" in entries[0]
    assert "sort" in entries[1]
    assert entries[2] == entries[0]
    # What is no longer there goes with the next commit.
    shutil.rmtree(stored_run / "model" / "gallery")
    publish("model", stored_run / "model", "ada/stored")
    assert not [f for f in HfApi().list_repo_files("ada/stored") if f.startswith("gallery")]


def test_private_repositories_need_the_token(local_hub, stored_run):
    publish("moe", stored_run / "moe", "ada/secret", private=True)
    for token in ("hf_bob", False):
        with pytest.raises(OSError, match="ada/secret"):
            SpecCLIPMoEForRegression.from_pretrained("ada/secret", token=token)
    assert SpecCLIPMoEForRegression.from_pretrained("ada/secret", token="hf_ada")
    publish("moe", stored_run / "moe", "ada/open")
    with pytest.raises(PublishError, match="is public"):
        publish("moe", stored_run / "moe", "ada/open", private=True)


@pytest.mark.parametrize("fault", [("commit", "drop"), ("commit", 500), ("lfs_upload", 400)])
def test_a_push_that_breaks_off_leaves_what_was_there(local_hub, stored_run, fault):
    first = publish("spectrum", stored_run / "spectrum", "ada/stored")
    before, changed = change_weights(stored_run / "spectrum")
    local_hub.faults = [fault]
    with pytest.raises(PublishError, match=r"ada/stored was not published.*run it again"):
        publish("spectrum", stored_run / "spectrum", "ada/stored")
    assert not local_hub.faults
    assert head("ada/stored") == first.commit
    assert (pulled("ada/stored") / "model.safetensors").read_bytes() == before
    publish("spectrum", stored_run / "spectrum", "ada/stored")
    assert (pulled("ada/stored") / "model.safetensors").read_bytes() == changed


def test_after_a_lost_answer_the_second_push_finds_everything_there(local_hub, stored_run):
    local_hub.faults = [("commit", "drop_after")]
    with pytest.raises(PublishError, match="run it again"):
        publish("spectrum", stored_run / "spectrum", "ada/stored")
    assert not publish("spectrum", stored_run / "spectrum", "ada/stored").changed


def refused(capsys, *arguments):
    assert main(["publish", *map(str, arguments)]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_refusals_say_what_to_do(local_hub, stored_run, capsys, monkeypatch, tmp_path):
    model, moe = stored_run / "model", stored_run / "moe"
    assert main(["publish", "model", str(model), "ada/stored"]) == 0
    assert f"{local_hub.url}/ada/stored: " in capsys.readouterr().out
    assert "holds no moe of hf_specclip" in refused(capsys, "moe", moe, "ada/stored")
    HfApi().create_repo("ada/other")
    HfApi().upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="ada/other")
    said = refused(capsys, "model", model, "ada/other", "--revision", "trial")
    assert "choose a new name" in said
    assert [branch.name for branch in HfApi().list_repo_refs("ada/other").branches] == ["main"]
    assert "a name of your own" in refused(capsys, "model", model, "bob/stored")
    assert "give user/name" in refused(capsys, "model", model, "stored")
    assert "specclip publish moe" in refused(capsys, "model", moe, "ada/x")
    assert "its folders model, moe, spectrum" in refused(capsys, "model", stored_run, "ada/x")
    assert "there is no folder" in refused(capsys, "model", tmp_path / "no", "ada/x")
    assert "publish it first" in refused(capsys, "space", stored_run, "ada/page")
    local_hub.store.quota = 10_000
    assert "Storage limit reached" in refused(capsys, "model", model, "ada/large")
    local_hub.store.quota = None
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    assert "use a token that may write" in refused(capsys, "model", model, "ada/stored")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_and_secret")
    said = refused(capsys, "model", model, "ada/stored")
    assert "hf auth login" in said
    assert "hf_wrong_and_secret" not in said
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    assert "hf auth login" in refused(capsys, "model", model, "ada/stored")
    again = publish("model", model, "ada/stored", token="hf_ada")
    assert head("ada/stored") == again.commit


def test_only_safetensors_and_only_what_belongs_is_published(local_hub, stored_run, tmp_path):
    model = stored_run / "model"
    (model / "training.json").write_text('{"home": "/home/ada"}')
    (model / ".env").write_text("HF_TOKEN=hf_ada")
    (model / "notes.txt").write_text("mine")
    done = publish("model", model, "ada/stored")
    assert not {"training.json", ".env", "notes.txt"} & set(done.files)
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (model / "tokenizer.json").symlink_to(secret)
    with pytest.raises(PublishError, match="leads out of"):
        publish("model", model, "ada/stored")
    (model / "tokenizer.json").unlink()
    pickles = {"pytorch_model.bin", "optimizer.pt", "gallery/index.pkl", "zero_shot/x.npz"}
    for name in pickles:
        (model / name).write_bytes(b"\x80\x04.")
    assert not pickles & set(publish("model", model, "ada/stored").files)
    (model / "modeling_specclip.py").unlink()
    with pytest.raises(PublishError, match=r"lacks the code .*modeling_specclip\.py"):
        publish("model", model, "ada/stored")


def test_no_place_of_the_machine_is_published(local_hub, stored_run):
    path = stored_run / "model" / "config.json"
    config = json.loads(path.read_text())
    config["spectrum_config"]["_name_or_path"] = "/home/ada/runs/spectrum"
    path.write_text(json.dumps(config))
    publish("model", stored_run / "model", "ada/stored")
    del config["spectrum_config"]["_name_or_path"]
    assert json.loads((pulled("ada/stored") / "config.json").read_text()) == config
    assert SpecCLIPModel.from_pretrained("ada/stored")


def test_space_and_metric(local_hub, stored_run, stranger):
    for kind, name in (("model", "stored"), ("moe", "stored-moe"), ("outliers", "stored-outliers")):
        publish(kind, stored_run / kind, f"ada/{name}")
    publish("space", stored_run, "ada/page", model="ada/stored")
    page = pulled("ada/page", repo_type="space")
    assert HfApi().space_info("ada/page").sdk == "gradio"
    named = '"ada/stored", moe="ada/stored-moe", outliers="ada/stored-outliers"'
    assert f"build_app(Describer.from_pretrained({named}))" in (page / "app.py").read_text()
    needed = (page / "requirements.txt").read_text().splitlines()
    assert any(line.startswith("torch>=") for line in needed)
    assert not any("hf-specclip" in line or ";" in line for line in needed)
    # The code that goes along is whole: it answers in the Space's own folder.
    code = "import hf_specclip, hf_specclip.spectra; print(hf_specclip.__file__)"
    where = stranger(code, cwd=page).stdout
    assert Path(where.strip()).parent.parent.resolve() == page.resolve()
    with pytest.raises(PublishError, match="publish it first"):
        publish("space", stored_run, "ada/page", model="ada/no")

    publish("metric", "specclip_retrieval", "ada/recall")
    code = """
import evaluate
metric = evaluate.load("ada/recall")
metric.add_batch(predictions=[[1, 0], [0, 1]], references=[[1, 0], [0, 1]],
                 text_ids=["a", "b"], groups=["a", "b"])
print(metric.compute(ks=(50,), n_bootstrap=10)["spectrum_to_text"]["recall@50%"]["value"])
"""
    assert stranger(code).stdout.split()[-1] == "1.0"


def make_dataset(folder, seed=0, sizes=(("train", 6), ("calibration", 2), ("test", 3))):
    """A folder of Parquet files without a card, and the total counts of its rows by split."""
    (folder / "data").mkdir(parents=True)
    totals = {}
    for split, n in sizes:
        counts = np.random.default_rng([seed, n]).poisson(2.0, (n, 400)).astype(np.int32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(counts.ravel()), 400)
        table = pa.table({"source_name": [f"{split} {i}" for i in range(n)], "counts": column})
        pq.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
        totals[split] = counts.sum(axis=1).tolist()
    return totals


def test_datasets_streamed_and_offline(local_hub, stored_run, stranger, tmp_path):
    totals = make_dataset(tmp_path / "sky")
    done = publish("dataset", tmp_path / "sky", "ada/sky")  # brings no card: one is written
    assert "README.md" in done.files
    (tmp_path / "sky" / "data" / "test-00000-of-00001.parquet").unlink()
    del totals["test"]
    publish("dataset", tmp_path / "sky", "ada/sky")
    publish("model", stored_run / "model", "ada/stored")
    code = """
import json, sys
from datasets import load_dataset
from hf_specclip import SpecCLIPFeatureExtractor, SpecCLIPIndex, SpecCLIPModel
def totals(splits):
    return {split: [sum(row["counts"]) for row in rows] for split, rows in splits.items()}
found = {"sky": totals(load_dataset("ada/sky"))}
if "stream" in sys.argv:
    found["stream"] = totals(load_dataset("ada/sky", streaming=True))
SpecCLIPModel.from_pretrained("ada/stored")
SpecCLIPFeatureExtractor.from_pretrained("ada/stored")
found["gallery"] = len(SpecCLIPIndex.from_pretrained("ada/stored"))
print(json.dumps(found))
"""
    online = json.loads(stranger(code, "stream", token=None).stdout.splitlines()[-1])
    assert online["sky"] == online["stream"] == totals
    # Another process, without the network: all comes from the cache.
    asked = len(local_hub.requests)
    offline = json.loads(stranger(code, offline=True, token=None).stdout.splitlines()[-1])
    assert offline["sky"] == totals
    assert offline["gallery"] == online["gallery"] > 0
    assert len(local_hub.requests) == asked
    assert not list((tmp_path / "elsewhere").iterdir())
