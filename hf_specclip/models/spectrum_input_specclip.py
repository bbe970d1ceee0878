"""Input of the spectrum encoder: channels, global features, and the signature of their settings."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any, Literal

from .variables_specclip import AXIS, HARDNESS_BANDS, WINDOWS

# Number of logarithmic energy bands of the global features.
N_BANDS = 13
# Channels per energy bin and global features per spectrum, by input kind and in the order of the
# tensors; see `SpecCLIPFeatureExtractor`.
CHANNELS = {
    "minmax": ("rate",),
    "physics": ("counts", "background", "shape"),
    "flux": ("counts", "background", "shape"),
}
GLOBALS = {
    "minmax": (),
    "physics": (
        "log_net_rate",
        "log_counts",
        "log_net_counts",
        "log_background",
        "significance",
        *(f"band_fraction_{band}" for band in range(1, N_BANDS + 1)),
        *(f"band_fraction_error_{band}" for band in range(1, N_BANDS + 1)),
        "hard_hm",
        "hard_hs",
        "hard_ms",
        "hard_hm_error",
        "hard_hs_error",
        "hard_ms_error",
    ),
}
# The same features with fluxes in place of rates.
GLOBALS["flux"] = (
    "log_flux",
    "log_energy_flux",
    *(name for name in GLOBALS["physics"] if name != "log_net_rate"),
)

InputKind = Literal["minmax", "physics", "flux"]
_KINDS = tuple(CHANNELS)
# Version number, increased whenever the meaning of a channel or global feature changes.
INPUT_FORMAT = 1
_MAX_BINS = 2**16 - 1


def global_features_kind(input_kind: str) -> str:
    """Return an input kind with global features: the model's own, else `"physics"`."""
    return input_kind if GLOBALS[input_kind] else "physics"


def input_signature(settings: Any) -> int:
    """Hash the settings of a feature extractor to one integer.

    The feature extractor returns it with its tensors, and a model refuses tensors with another
    signature than its own.

    Args:
        settings: `SpecCLIPFeatureExtractor`, or a configuration with its attributes.

    Returns:
        A positive integer below 2**63.
    """
    ranges = (settings.energy_range, *settings.bands, settings.windows)
    numbers = [list(map(float, values)) for values in ranges]
    names = [settings.input_kind, settings.n_bins, list(settings.axis)]
    content = json.dumps([INPUT_FORMAT, *names, numbers])
    digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def check_input_settings(
    input_kind: str,
    n_bins: int,
    energy_range: Sequence[float],
    axis: Sequence[str] = AXIS,
    bands: Sequence[Sequence[float]] = HARDNESS_BANDS,
    windows: Sequence[float] = WINDOWS,
) -> None:
    """Check the settings of a feature extractor; see there for the arguments.

    Raises:
        ValueError: a setting is out of range; the message gives the allowed values.
    """
    if input_kind not in _KINDS:
        raise ValueError(f"input_kind is {input_kind!r}, it must be one of {', '.join(_KINDS)}")
    if isinstance(n_bins, bool) or not isinstance(n_bins, int) or not 1 <= n_bins <= _MAX_BINS:
        raise ValueError(f"n_bins is {n_bins!r}, it must be an integer from 1 to {_MAX_BINS}")
    if len(energy_range) != 2:
        raise ValueError(f"energy_range is {energy_range}, it must be (low, high) in {axis[-1]}")
    low, high = energy_range
    if not 0 <= low < high < math.inf:
        raise ValueError(f"energy_range is {(low, high)}, it must be 0 ≤ low < high")
    if len(axis) != 2 or not all(isinstance(word, str) and word for word in axis):
        raise ValueError(f"axis is {axis}, it must be a name and a unit like {AXIS}")
    if len(bands) != 3 or any(len(band) != 2 or not band[0] < band[1] for band in bands):
        raise ValueError(f"bands are {bands}, they must be three pairs (low, high)")
    if len(windows) != 2 or not all(width > 0 for width in windows):
        raise ValueError(f"windows are {windows}, they must be two positive widths")


__all__ = [
    "CHANNELS",
    "GLOBALS",
    "INPUT_FORMAT",
    "N_BANDS",
    "InputKind",
    "check_input_settings",
    "global_features_kind",
    "input_signature",
]
