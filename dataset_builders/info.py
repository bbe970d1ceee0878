"""Description of a dataset, `specclip_dataset.json`: builder, settings, energy bins and sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from hf_specclip.errors import FileFormatError, SpecCLIPError
from hf_specclip.storage import read_json

from .contract import ENERGY_RANGE, N_BINS
from .domain import XRAY, Domain

INFO_FILE = "specclip_dataset.json"
FORMAT_VERSION = 1
# Configurations beside the pairs (`default`), each in a folder of its name.
EMBEDDED, SPECTRA = "embedded", "spectra"
CONFIGURATIONS = {
    EMBEDDED: "the pairs with `text_embedding`",
    SPECTRA: "spectra without texts, for pretraining: those of the pairs (`paired`) and those of "
    "sources without a summary, in the same groups and splits",
}
# Maximum size of a description; a larger file is damaged or hostile.
MAX_INFO_BYTES = 1 << 22
# Types of the values, since the text "false" would count as true.
_INFO_TYPES = {
    "rows": dict, "configurations": dict, "knobs": dict, "simulated": bool, "name": str,
    "description": str,
}  # fmt: skip


class DatasetFolderError(SpecCLIPError, ValueError):
    """Dataset folder that cannot be read or written; the message says what to do."""


@dataclass(frozen=True)
class SpecCLIPDatasetInfo:
    """Description of a dataset: the content of `specclip_dataset.json`.

    Attributes:
        name: short name of the dataset.
        builder: builder that made it (`simulated`, `local_tables`, …).
        builder_version: version of that builder.
        seed: seed of the draws and of the splits.
        knobs: the builder's settings, as plain values.
        simulated: True when the spectra and texts come from a simulation.
        n_bins: number of equal energy bins.
        energy_range: lower and upper energy of the bins, keV (or along the domain's axis).
        domain: axis, sections and variables, where they are not those of an X-ray spectrum.
        text_model: model that made `text_embedding`, None where there is none.
        license: licence identifier for the card.
        description: how the dataset was made, in Markdown, for the card.
        rows: number of rows of each split; filled when written.
        configurations: number of rows of each split of each configuration beside the pairs (see
            `CONFIGURATIONS`); filled when written.
        format_version: version of the folder's layout.
    """

    name: str = "specclip"
    builder: str = "unknown"
    builder_version: str = "0"
    seed: int | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False
    n_bins: int = N_BINS
    energy_range: tuple[float, float] = ENERGY_RANGE
    domain: Domain = XRAY
    text_model: str | None = None
    license: str = "other"
    description: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    configurations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def energy_edges(self) -> np.ndarray:
        """Edges of the energy bins, array (n_bins + 1,) of float64, keV."""
        return np.linspace(*self.energy_range, self.n_bins + 1)

    @property
    def pairs_configuration(self) -> str | None:
        """Configuration of the pairs with most columns; None for the default."""
        return EMBEDDED if EMBEDDED in self.configurations else None

    def to_json(self) -> dict[str, Any]:
        """Return the content of `specclip_dataset.json`.

        The domain is left out where it is that of an X-ray spectrum. The energy edges are written
        in full, for readers that do not know that the bins are equal.
        """
        content = asdict(self)
        del content["domain"]
        content |= {} if self.domain == XRAY else {"domain": self.domain.to_dict()}
        content["energy_edges"] = [round(float(edge), 9) for edge in self.energy_edges]
        return content


def read_info(folder: str | Path) -> SpecCLIPDatasetInfo | None:
    """Read and check the `specclip_dataset.json` of a folder; return None where there is none.

    Raises:
        DatasetFolderError: when it is damaged or newer than this code.
    """
    path = Path(folder) / INFO_FILE
    if not path.is_file():
        return None
    try:
        content = read_json(path, MAX_INFO_BYTES)
    except (FileFormatError, OSError) as error:
        raise DatasetFolderError(str(error)) from None
    version = content.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise DatasetFolderError(
            f"{path}: format_version is {version!r}, this code reads {FORMAT_VERSION}"
        )
    edges = _energy_edges(content.pop("energy_edges", None), path)
    names = {item.name for item in fields(SpecCLIPDatasetInfo)}
    content = {key: value for key, value in content.items() if key in names}
    for key, expected in _INFO_TYPES.items():
        if key in content and not isinstance(content[key], expected):
            raise DatasetFolderError(
                f"{path}: {key!r} is {content[key]!r}, not a {expected.__name__}"
            )
    if "domain" in content:
        try:
            content["domain"] = Domain.from_dict(content["domain"])
        except ValueError as error:
            raise DatasetFolderError(f"{path}: {error}") from None
    content["n_bins"] = len(edges) - 1
    content["energy_range"] = (float(edges[0]), float(edges[-1]))
    return SpecCLIPDatasetInfo(**content)


def _energy_edges(values: Any, path: Path) -> np.ndarray:
    """Validate the edges of equal energy bins; the default is the contract's."""
    if values is None:
        return SpecCLIPDatasetInfo().energy_edges
    try:
        edges = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        edges = np.zeros(0)
    if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all():
        raise DatasetFolderError(f"{path}: 'energy_edges' is not a list of energies in keV")
    even = np.linspace(edges[0], edges[-1], len(edges))
    if not (edges[-1] > edges[0] >= 0) or not np.allclose(edges, even, rtol=1e-6):
        raise DatasetFolderError(f"{path}: 'energy_edges' are not equal bins of rising energy")
    return edges


def code_fingerprint() -> str:
    """Hash the code and tables that make rows, so that rows made by other code are not reused."""
    import hf_specclip

    digest = hashlib.blake2b(digest_size=8)
    package = Path(hf_specclip.__file__).parent
    for folder in (Path(__file__).parent, package / "spectra", package / "literature"):
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".yaml")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
