"""`SimulatedCSC`: the simulated catalogue as a `datasets` builder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa

from .contract import SPLITS, contract_features
from .folder import SpecCLIPDatasetInfo
from .simulation.catalogue import Knobs, Universe

# Raise it whenever the same knobs give other rows.
VERSION = "0.1.0"
# Rows made at once; part of what fixes the bytes, so it is no setting.
BATCH = 500

CONFIGS: Mapping[str, Knobs] = {"demo": Knobs(pairs=2000), "custom": Knobs()}

DESCRIPTION = """\
Fields (surveys, galaxies, globular clusters, star-forming regions, clusters of galaxies, the
Galactic plane) hold sources of twelve classes. Each spectrum is one or two components (power law,
black body, bremsstrahlung, thermal plasma from AtomDB) behind cold absorbers, folded through
Chandra's ACIS-S or ACIS-I at the nearest of six calibrated epochs, with Poisson counts in the
source aperture and in a background region. Counts fall into PI channels of 14.6 eV and are dealt
over the bins as those of real spectra are.

Summaries are written from the truth, with errors of their own and rounded as papers round: other
observations, never this row's counts. Some say little about the spectrum. Papers and hosts are
shared among sources; surveys link none. Hosts and bibcodes are invented.

Known departures from reality: areas change in steps between epochs; the redistribution is a
Gaussian without escape peak or tail; vignetting and apertures follow simple formulae; sources vary
between observations, not within one; no pile-up. Hardness ratios and flux significance are
measured from the counts with propagated errors; the catalogue's fits and variability columns are
null. The sentences come from templates.
"""


@dataclass
class SimulatedConfig(datasets.BuilderConfig):
    """Configuration of `SimulatedCSC`.

    Attributes:
        knobs: settings of the simulation.
    """

    knobs: Knobs = field(default_factory=Knobs)


class SimulatedCSC(datasets.ArrowBasedBuilder):
    """A Chandra catalogue with literature, simulated: no network, no key, known truth.

    Args:
        config_name: `demo` (2,000 pairs) or `custom`.
        pairs: number of pairs, instead of the configuration's.
        seed: of every draw, instead of the configuration's.
        knobs: all settings at once, instead of the configuration's.
        cache_dir: where `datasets` keeps what it made.

    Raises:
        ValueError: for a configuration that does not exist, or an impossible setting.

    Example:
        >>> builder = SimulatedCSC("demo", pairs=200)
        >>> builder.download_and_prepare()
        >>> pairs = builder.as_dataset()
    """

    BUILDER_CONFIG_CLASS = SimulatedConfig
    VERSION = datasets.Version(VERSION)

    def __init__(
        self,
        config_name: str = "demo",
        *,
        pairs: int | None = None,
        seed: int | None = None,
        knobs: Knobs | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        if config_name not in CONFIGS:
            raise ValueError(
                f"configuration {config_name!r} does not exist: {', '.join(sorted(CONFIGS))}"
            )
        knobs = CONFIGS[config_name] if knobs is None else knobs
        changes = {"pairs": pairs, "seed": seed}
        knobs = replace(knobs, **{k: v for k, v in changes.items() if v is not None})
        self.knobs = knobs
        self._universe: Universe | None = None
        # Without a name and a hash of its own, `datasets` files every builder of this module and
        # every setting under the same key, and hands out the first one's rows.
        settings = json.dumps(asdict(knobs), sort_keys=True)
        super().__init__(
            cache_dir=None if cache_dir is None else str(cache_dir),
            dataset_name="simulated_csc",
            config_name=config_name,
            hash=hashlib.blake2b(f"{VERSION} {settings}".encode(), digest_size=16).hexdigest(),
            version=VERSION,
            knobs=knobs,
        )

    @property
    def universe(self) -> Universe:
        """The catalogue's layout: what there is, before any spectrum is drawn."""
        if self._universe is None:
            self._universe = Universe(self.knobs)
        return self._universe

    def description(self) -> SpecCLIPDatasetInfo:
        """What to write beside the rows."""
        return SpecCLIPDatasetInfo(
            name=f"SimulatedCSC {self.config.name}",
            builder="simulated",
            builder_version=VERSION,
            seed=self.knobs.seed,
            knobs=asdict(self.knobs),
            simulated=True,
            license="cc0-1.0",
            description=DESCRIPTION,
        )

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description=DESCRIPTION, features=contract_features())

    def _split_generators(
        self, dl_manager: datasets.DownloadManager
    ) -> list[datasets.SplitGenerator]:
        generators = []
        for split in SPLITS:
            rows = np.flatnonzero(self.universe.splits == split)
            # A list: `datasets` shares it out over its processes, batch by batch.
            batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
            generators.append(datasets.SplitGenerator(name=split, gen_kwargs={"batches": batches}))
        return generators

    def _generate_tables(
        self, batches: list[np.ndarray]
    ) -> Iterator[tuple[int | datasets.builder.Key, pa.Table]]:
        for number, rows in enumerate(batches):
            yield datasets.builder.Key(number, 0), self.universe.rows(rows)
