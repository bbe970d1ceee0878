"""Sources to score for outliers, their scores, and the reference sources of a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..models.variables_specclip import HARDNESS_BANDS

# Each gives one number for a row, higher for the less usual; nan where the row lacks its inputs.
COMPONENTS = ("isolation_forest", "spectrum_neighbours", "disagreement")
DETECTORS = (*COMPONENTS, "combined")
# Energies at which the area stands for that of a band, as in the exposure maps of the catalogue.
BAND_ENERGIES = (0.92, 1.56, 3.8)


@dataclass(frozen=True)
class OutlierRows:
    """Sources to learn from or to score; unknown values are None, or nan in a row.

    Attributes:
        spectrum: (n, D) points in the shared space, of unit length.
        text: (n, D) points of their texts; nan rows where there is none.
        variables: name -> (n,) physical variables, nan where unknown.
        band_counts: (n, 3) net counts in `HARDNESS_BANDS`.
        band_errors: (n, 3) their standard deviations.
        band_areas: (n, 3) effective area of the bands, in one unit; 1 by default, nan where
            unknown.
        names: (n,) str.
        classes: (n,) str or None.
        groups: (n,) rows of one group are never each other's neighbours; by default each row is
            its own group.
    """

    spectrum: np.ndarray
    text: Any = None
    variables: Mapping[str, np.ndarray] = field(default_factory=dict)
    band_counts: Any = None
    band_errors: Any = None
    band_areas: Any = None
    names: Any = None
    classes: Any = None
    groups: Any = None

    def __len__(self) -> int:
        return len(self.spectrum)

    def take(self, rows: np.ndarray) -> OutlierRows:
        """Select rows by index or mask."""

        def select(values: Any) -> Any:
            if values is None:
                return None
            is_list = isinstance(values, list | tuple)
            return np.asarray(values, dtype=object if is_list else None)[rows]

        fields = {name: select(x) for name, x in vars(self).items() if name != "variables"}
        variables = {name: np.asarray(x)[rows] for name, x in self.variables.items()}
        return OutlierRows(variables=variables, **fields)

    def checked(self) -> OutlierRows:
        """Return the rows with every attribute an array of the right shape.

        Raises:
            ValueError: for arrays of another shape, or points that are not finite.
        """
        spectrum = np.ascontiguousarray(self.spectrum, np.float32)
        if spectrum.ndim != 2 or not len(spectrum) or not np.isfinite(spectrum).all():
            raise ValueError(f"spectrum must be finite, of shape (n, D), not {spectrum.shape}")
        n, width = spectrum.shape

        def matrix(name: str, columns: int, absent: float = np.nan) -> np.ndarray:
            values = getattr(self, name)
            if values is None:
                return np.full((n, columns), absent, np.float32)
            array = np.ascontiguousarray(values, np.float32)
            if array.shape != (n, columns):
                raise ValueError(f"{name} must be ({n}, {columns}), not {array.shape}")
            return array

        def labels(name: str, absent: list[Any]) -> np.ndarray:
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise ValueError(f"{name} has {len(values)} entries for {n} rows")
            array = np.empty(n, dtype=object)
            array[:] = absent if values is None else list(values)
            return array

        variables = {name: np.asarray(x, np.float64) for name, x in self.variables.items()}
        for name, values in variables.items():
            if values.shape != (n,):
                raise ValueError(f"variable {name} must be ({n},), not {values.shape}")
        return OutlierRows(
            spectrum=spectrum,
            text=matrix("text", width),
            variables=variables,
            band_counts=matrix("band_counts", len(HARDNESS_BANDS)),
            band_errors=matrix("band_errors", len(HARDNESS_BANDS)),
            band_areas=matrix("band_areas", len(HARDNESS_BANDS), absent=1.0),
            names=labels("names", [""] * n),
            classes=labels("classes", [None] * n),
            # A character that no name has, so that an unknown source excludes no neighbour.
            groups=labels("groups", [f"\0{row}" for row in range(n)]),
        )


@dataclass(frozen=True)
class OutlierScores:
    """Scores of each row by each detector.

    Attributes:
        raw: detector -> (n,), higher for more unusual rows; nan where inputs are missing.
        tail: detector -> (n,) share of the reference that scores at least as high, above 0 and at
            most 1; uniform for rows that are like the reference.
    """

    raw: dict[str, np.ndarray]
    tail: dict[str, np.ndarray]

    def percentile(self, detector: str = "combined") -> np.ndarray:
        """Return the outlier percentile (n,): percent of the reference rows that score lower."""
        return 100.0 * (1.0 - self.tail[detector])


@dataclass(frozen=True)
class Reference:
    """Reference sources of a detector, as arrays of one length n.

    Attributes:
        spectrum, text: (n, D) float32, unit length; text rows are nan where there is none.
        variables: (n, V) float64 in catalogue units, nan where unknown.
        band_fluxes: (n, 3) float32, net counts over area, nan where unknown.
        names, classes, groups: tuples; "" for a name, None for a class that is not known.
    """

    spectrum: np.ndarray
    text: np.ndarray
    variables: np.ndarray
    band_fluxes: np.ndarray
    names: tuple[str, ...]
    classes: tuple[str | None, ...]
    groups: tuple[str, ...]


def band_columns(
    columns: Mapping[str, np.ndarray],
    energy_range: tuple[float, float],
    bands: Sequence[Sequence[float]] = HARDNESS_BANDS,
) -> dict[str, Any]:
    """Compute `band_counts`, `band_errors` and `band_areas` from spectra; bins by their centre.

    Args:
        columns: `counts` and `background_counts` (n, bins), `background_scale` (n,), and where
            known `effective_area` (n, bins), cm².
        energy_range: ends of the bins.
        bands: three pairs on the same axis.
    """
    edges = np.linspace(*energy_range, columns["counts"].shape[1] + 1)
    centres = 0.5 * (edges[1:] + edges[:-1])
    inside = np.stack([(centres >= low) & (centres < high) for low, high in bands], axis=1)
    source, background = (
        columns[name].astype(np.float64) @ inside for name in ("counts", "background_counts")
    )
    scale = columns["background_scale"].astype(np.float64)[:, None]
    areas = columns.get("effective_area")
    if areas is not None:
        areas = areas[:, [int(np.abs(centres - energy).argmin()) for energy in BAND_ENERGIES]]
        areas = np.where(areas > 0, areas, np.nan)
    return {
        "band_counts": source - scale * background,
        "band_errors": np.sqrt(source + scale**2 * background),
        "band_areas": areas,
    }


def stack_variables(rows: OutlierRows, names: Sequence[str]) -> np.ndarray:
    """Stack variables as columns (n, V), nan where the rows lack one."""
    blank = np.full(len(rows), np.nan)
    columns = [rows.variables.get(name, blank) for name in names]
    return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))


__all__ = [
    "COMPONENTS",
    "DETECTORS",
    "OutlierRows",
    "OutlierScores",
    "Reference",
    "stack_variables",
]
