"""Trials of a search: the points of a grid of settings, or a random part of them, and seeds."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specclip_training.engine.draws import Draws
from specclip_training.engine.presets import Preset, PresetError, load_preset, read_yaml

# Settings that a frozen encoder and its latents do not depend on.
SEARCHED = ("model.", "align.")


@dataclass(frozen=True)
class Trial:
    """One training run of a search.

    Attributes:
        name: name of its folder, a hash of settings and seed.
        settings: values of the grid's keys.
        seed: random seed.
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
    file, grid = read_yaml(path)
    if not grid:
        raise PresetError(f"{file} is empty: write keys such as align.lr: [1.0e-4, 1.0e-3]")
    for key, values in grid.items():
        if not str(key).startswith(SEARCHED):
            raise PresetError(
                f"{file}: {key} cannot be searched: the encoder is pretrained and shared by all "
                f"trials, so keys start with {' or '.join(SEARCHED)}"
            )
        if not isinstance(values, list) or not values:
            raise PresetError(f"{file}: {key} is {values!r}, it must be a list of values")
        if any(value in values[:place] for place, value in enumerate(values)):
            raise PresetError(f"{file}: {key} names a value twice")
    return grid


def plan_trials(
    config: str | Path,
    overrides: Sequence[str],
    grid: Mapping[str, Sequence[Any]],
    *,
    trials: int | None = None,
    seed: int = 0,
    seeds: int = 1,
) -> list[Trial]:
    """List the trials of a search, with every preset validated before anything is trained.

    Args:
        config, overrides: of the preset, see `load_preset`.
        grid: values by key; they take precedence over `overrides`.
        trials: number of grid points, drawn without repeats; all where None. The draw of a smaller
            number is the beginning of that of a larger one, so that a search can be widened.
        seed: of the draw, and the first seed of the trials.
        seeds: training runs of each point, with consecutive seeds from `seed`.

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
            Trial(_name(settings, trial_seed), settings, trial_seed, preset)
            for trial_seed in range(seed, seed + seeds)
        ]
    return planned


def _name(settings: Mapping[str, Any], seed: int) -> str:
    content = json.dumps([sorted(settings.items()), seed])
    return hashlib.sha256(content.encode()).hexdigest()[:12]
