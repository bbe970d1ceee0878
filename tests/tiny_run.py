"""A whole run, as training leaves it, in seconds: simulated sky, model, experts, detector.

    python tiny_run.py FOLDER

leaves what `make demo` leaves in runs/demo. The networks are tiny and the steps few: it answers in
the right form, not well.
"""

import dataclasses
import sys
from pathlib import Path

PRESET = """
name: tiny
text: {embedder: "ENCODER"}
spectrum: {input_kind: physics, encoder: mlp, hidden_size: 16, num_hidden_layers: 1,
  num_attention_heads: 2, intermediate_size: 16, latent_dim: 8, decoder_hidden_size: 16,
  decoder_layers: 1, dropout: 0.1}
model: {shared_dim: 8, projection_hidden_size: 32, dropout: 0.1}
pretrain: {steps: 2, batch_size: 16, checkpoint_every: 2, validate_every: 2}
align: {steps: 40, batch_size: 32, lr: 0.01, freeze_spectrum: false, checkpoint_every: 40,
  validate_every: 40}
evaluation: {n_bootstrap: 20}
"""
PAIRS = 300


def make(folder: Path) -> None:
    from tiny_encoder import make_encoder

    from specclip_datasets.simulation.builder import simulate
    from specclip_datasets.simulation.knobs import Knobs
    from specclip_training import reproduce
    from specclip_training.engine import commands

    folder.mkdir(parents=True, exist_ok=True)
    preset = folder.with_name(f"{folder.name}.yaml")
    preset.write_text(PRESET.replace("ENCODER", make_encoder(folder.with_name("encoder"))))
    simulate(folder / "dataset", Knobs(pairs=PAIRS, fits=False), config_name="custom")

    make_experts_quick()
    words = ["--config", preset, "--dataset", folder / "dataset", "--output", folder]
    words += ["--studies", "experts,outliers,zero_shot"]
    arguments = reproduce.options().parse_args([str(word) for word in words])
    if commands.call(reproduce.main, arguments) != 0:
        raise SystemExit("the tiny run failed")


def make_experts_quick() -> None:
    """Replace the settings of the experts by tiny networks and few steps, in this process."""
    from specclip_training.studies.experts import study
    from specclip_training.studies.experts.data import FitSettings

    def quick(seed: int) -> FitSettings:
        return dataclasses.replace(
            FitSettings(seed=seed), text_components=6, network_hidden=(16,), network_epochs=4,
            neighbours=(5, 15), gate_steps=20, n_folds=3,
        )  # fmt: skip

    study.FitSettings = quick


if __name__ == "__main__":
    make(Path(sys.argv[1]))
