"""What a search tries: a grid of settings or a random part of it, with one seed or several."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from specclip_training.engine.loop import Draws
from specclip_training.engine.presets import CONFIGS, Preset, PresetError, load_preset

# Settings that a frozen encoder and its latents do not depend on.
SEARCHED = ("model.", "align.")


@dataclass(frozen=True)
class Trial:
    """One training of the search.

    Attributes:
        name: of its folder; follows from settings and seed.
        settings: what the grid changes in the preset, by dotted key.
        seed: of everything random.
        preset: the preset with these settings.
    """

    name: str
    settings: Mapping[str, Any]
    seed: int
    preset: Preset


def read_grid(path: str | Path) -> dict[str, list[Any]]:
    """Read a grid: a YAML file of dotted keys of the preset, each with a list of values.

    Args:
        path: of the file, or the name of one in `training/configs`.

    Raises:
        PresetError: for a file that cannot be read, or holds anything else.
    """
    file = Path(path)
    if not file.is_file() and (CONFIGS / f"{path}.yaml").is_file():
        file = CONFIGS / f"{path}.yaml"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PresetError(f"grid {path} cannot be read ({error}): name a YAML file") from None
    if not isinstance(content, dict) or not content:
        raise PresetError(
            f"{file} must hold keys of the preset, such as align.lr: [1.0e-4, 1.0e-3]"
        )
    for key, values in content.items():
        if not str(key).startswith(SEARCHED):
            raise PresetError(
                f"{file}: {key} cannot be searched: the encoder is trained before and shared by "
                f"all trials, so keys start with {' or '.join(SEARCHED)}"
            )
        if not isinstance(values, list) or not values:
            raise PresetError(f"{file}: {key} is {values!r}, it must be a list of values")
        if any(value in values[:place] for place, value in enumerate(values)):
            raise PresetError(f"{file}: {key} names a value twice")
    return content


def plan_trials(
    config: str | Path,
    overrides: Sequence[str],
    grid: Mapping[str, Sequence[Any]],
    *,
    trials: int | None = None,
    seed: int = 0,
    seeds: int = 1,
) -> list[Trial]:
    """All trials of a search, every preset checked before anything is trained.

    Args:
        config, overrides: of the preset, see `load_preset`.
        grid: what is searched; it goes before `overrides`.
        trials: how many points of the grid, drawn without repeats; all where None. A smaller
            number is the beginning of a larger one, so that a search can be widened.
        seed: of the draw, and the first seed of the trials.
        seeds: trainings of each point, with the seeds from `seed` on.

    Raises:
        PresetError: see `load_preset`.
    """
    keys = list(grid)
    points = [dict(zip(keys, values, strict=True)) for values in itertools.product(*grid.values())]
    if trials is not None:
        order = Draws(seed, "search", 0).permutation(len(points))
        points = [points[place] for place in order[:trials]]
    planned = []
    for settings in points:
        changes = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
        preset = load_preset(config, [*overrides, *changes])
        planned += [
            Trial(_name(settings, each), settings, each, preset)
            for each in range(seed, seed + seeds)
        ]
    return planned


def _name(settings: Mapping[str, Any], seed: int) -> str:
    content = json.dumps([sorted(settings.items()), seed])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


__all__ = ["SEARCHED", "Trial", "plan_trials", "read_grid"]
