"""Makes `data/stored`: a whole run of this release, as small as it gets, and what it answers.

    python tests/hub/make_stored.py tests/hub/data/stored

Later releases load it and have to answer the same (`test_stored.py`). It is made once for a release
and kept: making it anew is for a change of the format, not for a test that fails.
"""

import functools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import torch
from datasets import load_dataset
from safetensors.torch import save_file

from hf_specclip import (
    SpecCLIPFeatureExtractor,
    SpecCLIPForSpectrumPreTraining,
    SpecCLIPIndex,
    SpecCLIPModel,
    SpecCLIPMoEForRegression,
    SpecCLIPOutlierDetector,
)
from hf_specclip.hub_cards import figures_of
from training import commands, expert_fitting, experts, outliers, reproduce
from training.card import write_cards

ROOT = Path(__file__).resolve().parents[2]
PRESET = """
name: stored
spectrum: {patch_size: 100, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2,
  intermediate_size: 16, latent_dim: 8, decoder_hidden_size: 16, decoder_layers: 1,
  input_kind: physics}
model: {shared_dim: 8, projection_hidden_size: 8}
text: {embedder: terms}
pretrain: {steps: 20, batch_size: 32, checkpoint_every: 20, validate_every: 10}
align: {steps: 100, batch_size: 32, checkpoint_every: 50, validate_every: 25}
evaluation: {n_bootstrap: 100}
"""
SMALL = {
    "n_folds": 2, "text_components": 6, "network_hidden": (8,), "network_epochs": 5, "trees": 2,
    "leaves": 4, "tree_depth": 2,
}  # fmt: skip
ROWS = 4
PARTS = ("model", "moe", "spectrum", "outliers")


def make(target: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        run, sky = Path(scratch) / "run", Path(scratch) / "sky"
        preset = Path(scratch) / "stored.yaml"
        preset.write_text(PRESET)
        code: dict[str, list[str]] = {}
        simulate = [sys.executable, "-m", "dataset_builders", "simulate", "--config", "demo"]
        simulate += ["--pairs", "70", "--seed", "7", "--processes", "1", "--output", str(sky)]
        subprocess.run(simulate, check=True, cwd=ROOT)
        experts.FitSettings = functools.partial(experts.FitSettings, **SMALL)
        config = functools.partial(expert_fitting.SpecCLIPMoEConfig, difficulty_hidden=8)
        expert_fitting.SpecCLIPMoEConfig = config
        fit = outliers.SpecCLIPOutlierDetector.fit
        outliers.SpecCLIPOutlierDetector.fit = functools.partial(fit, n_trees=4)
        arguments = ["--config", str(preset), "--dataset", str(sky), "--output", str(run)]
        arguments += ["--studies", "experts,latent_space,outliers,zero_shot"]
        sys.argv = ["training/reproduce.py", *arguments]
        if commands.call(reproduce.main, reproduce.options().parse_args(arguments)):
            raise SystemExit("the run failed")
        shutil.rmtree(target, ignore_errors=True)
        for part in PARTS:
            left = shutil.ignore_patterns("training.json", "README.md", "*.py")
            shutil.copytree(run / part, target / part, ignore=left)
            code[part] = sorted(path.name for path in (run / part).glob("*.py"))
            for name in code[part]:  # the same in every part: kept once
                (target / "code").mkdir(exist_ok=True)
                shutil.copy(run / part / name, target / "code" / name)
        (target / "code.json").write_text(json.dumps(code) + "\n")
        for path in target.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        metrics = json.loads((run / "metrics.json").read_text())
        kept = [figures_of(part, metrics) for part in PARTS]  # what the cards rest on
        metrics = {**metrics, **{k: v for one in kept for k, v in one.items() if k != "training"}}
        for panels in metrics["experts"]["coverage"].values():
            for levels in panels.values():
                for level in levels.values():
                    level.pop("by", None)
                    level.pop("variables", None)
        (target / "metrics.json").write_text(json.dumps(metrics, ensure_ascii=False) + "\n")
        whole = assemble(target, Path(scratch) / "whole")
        record(target, whole, sky)


def assemble(stored: Path, folder: Path) -> Path:
    """The run as training left it: code beside the weights, cards beside both."""
    shutil.copytree(stored, folder, ignore=shutil.ignore_patterns("code", "code.json"))
    for part, names in json.loads((stored / "code.json").read_text()).items():
        for name in names:
            shutil.copy(stored / "code" / name, folder / part / name)
    write_cards(folder, json.loads((folder / "metrics.json").read_text()))
    return folder


def record(target: Path, whole: Path, sky: Path) -> None:
    """Some rows, and all that the stored things say of them."""
    rows = load_dataset(str(sky), split="test", cache_dir=str(sky / "cache")).with_format("numpy")
    rows = rows.select(range(ROWS))
    inputs = {
        "counts": torch.tensor(rows["counts"][:]),
        "background_counts": torch.tensor(rows["background_counts"][:]),
        "background_scale": torch.tensor(rows["background_scale"][:]),
        "exposure": torch.tensor(rows["exposure"][:]),
    }
    save_file(
        {name: value.contiguous() for name, value in inputs.items()}, target / "rows.safetensors"
    )
    save_file(answers(whole, inputs), target / "answers.safetensors")


@torch.no_grad()
def answers(folder: Path, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the things in a folder answer, by the package's own classes."""
    model = SpecCLIPModel.from_pretrained(folder / "model").eval()
    given = SpecCLIPFeatureExtractor.from_pretrained(folder / "model")(inputs, return_tensors="pt")
    encoded = model.get_spectrum_features(**given)
    gallery = SpecCLIPIndex.from_pretrained(folder / "model")
    hits = gallery.search(encoded.pooler_output, top_k=3)
    places = {entry["id"]: place for place, entry in enumerate(gallery.entries)}
    autoencoder = SpecCLIPForSpectrumPreTraining.from_pretrained(folder / "spectrum").eval()
    own = SpecCLIPFeatureExtractor.from_pretrained(folder / "spectrum")(inputs, return_tensors="pt")
    decoded = autoencoder(**own)
    moe = SpecCLIPMoEForRegression.from_pretrained(folder / "moe").eval()
    rows = [
        {name: value[i].numpy() for name, value in inputs.items()}
        for i in range(len(inputs["counts"]))
    ]
    found = moe.predict(model, rows)
    detector = SpecCLIPOutlierDetector.from_pretrained(folder / "outliers")
    reference = detector.reference
    return {
        "spectrum_embeds": encoded.pooler_output,
        "spectrum_latent": model.spectrum_model(**given).pooler_output,
        "gallery_embeds": torch.tensor(gallery.embeddings),
        "hit_scores": torch.tensor([[hit.score for hit in row] for row in hits]),
        "hit_places": torch.tensor([[places[hit.entry["id"]] for hit in row] for row in hits]),
        "reconstruction": decoded.reconstruction,
        "latent": decoded.latent,
        "predictions": found.predictions,
        "lower_68": found.lower_68,
        "upper_90": found.upper_90,
        "outlier_spectra": torch.tensor(reference.spectrum),
    }


if __name__ == "__main__":
    make(Path(sys.argv[1]))
