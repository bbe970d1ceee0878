"""Simulated catalogue as a dataset: the `datasets` builder, and the run that writes a folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa

from ..contract import SPLITS, contract_features
from ..folder import check_may_write, write_dataset
from ..info import SpecCLIPDatasetInfo, code_fingerprint
from .catalogue import Universe
from .compare import CITATION, Marginals, comparison_table
from .knobs import Knobs
from .rows import BATCH, prepare_processes, simulated_splits
from .variety import SummaryTexts

# Raise it whenever the same knobs give other rows.
VERSION = "0.12.0"

# `paper` has the paper's number of pairs; its splits are the default ones, 69, 1, 15 and 15 %.
CONFIGS: Mapping[str, Knobs] = {
    "demo": Knobs(pairs=2000),
    "paper": Knobs(pairs=11_447),
    "large": Knobs(pairs=210_000, texts=3, fits=0.1, held_out=0.015),
    "custom": Knobs(),
}

DESCRIPTION = Path(__file__).with_name("card.md").read_text(encoding="utf-8")

# Added when the rows are there.
REMARKS = Path(__file__).with_name("remarks.md").read_text(encoding="utf-8")


class SimulatedCSC(datasets.ArrowBasedBuilder):
    """Simulated Chandra catalogue with literature: no network, no key, known truth.

    Args:
        config_name: `demo` (2,000 pairs), `paper` (11,447), `large` (210,000) or `custom`.
        knobs: all settings at once, instead of the configuration's.
        cache_dir: where `datasets` keeps what it made.

    Raises:
        ValueError: for a configuration that does not exist.

    Example:
        >>> builder = SimulatedCSC("custom", knobs=Knobs(pairs=200))
        >>> builder.download_and_prepare(num_proc=2)
        >>> pairs = builder.as_dataset()
    """

    VERSION = datasets.Version(VERSION)

    def __init__(
        self,
        config_name: str = "demo",
        *,
        knobs: Knobs | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        if config_name not in CONFIGS:
            raise ValueError(
                f"configuration {config_name!r} does not exist: {', '.join(sorted(CONFIGS))}"
            )
        self.knobs = CONFIGS[config_name] if knobs is None else knobs
        # Without a name and a hash of its own, `datasets` files every builder of this module and
        # every setting under the same key, and hands out the first one's rows.
        settings = json.dumps(self.knobs.record(), sort_keys=True)
        super().__init__(
            cache_dir=None if cache_dir is None else str(cache_dir),
            dataset_name="simulated_csc",
            config_name=config_name,
            hash=hashlib.blake2b(f"{VERSION} {settings}".encode(), digest_size=16).hexdigest(),
            version=VERSION,
        )

    @cached_property
    def universe(self) -> Universe:
        """Layout of the catalogue, before any spectrum is drawn."""
        return Universe(self.knobs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description=DESCRIPTION, features=contract_features())

    def _split_generators(
        self, dl_manager: datasets.DownloadManager
    ) -> list[datasets.SplitGenerator]:
        batches = self.universe.batches(BATCH)
        return [
            datasets.SplitGenerator(
                name=split,
                gen_kwargs={"rows": [batch.rows for batch in batches if batch.split == split]},
            )
            for split in SPLITS
        ]

    def _generate_tables(
        self, rows: list[np.ndarray]
    ) -> Iterator[tuple[datasets.builder.Key, pa.Table]]:
        for number, some in enumerate(rows):
            yield datasets.builder.Key(number, 0), self.universe.rows(some)


def simulate(
    output: str | Path,
    knobs: Knobs,
    *,
    config_name: str = "custom",
    processes: int = 1,
    overwrite: bool = False,
    progress: bool = False,
) -> Universe:
    """Simulate a dataset into a folder; an interrupted run resumes.

    Batches of rows are kept in a hidden folder beside the output until the dataset is complete.

    Args:
        output: folder to make.
        knobs: settings.
        config_name: name of the configuration, for the card.
        processes: number of processes; does not affect the output.
        overwrite: replace an existing dataset.
        progress: show a progress bar.

    Raises:
        DatasetFolderError: the output cannot be written, or another run is writing it.
    """
    output = Path(output)
    check_may_write(output, overwrite=overwrite)
    settings = json.dumps({"knobs": knobs.record(), "code": code_fingerprint()}, sort_keys=True)
    key = hashlib.blake2b(f"{VERSION} {settings}".encode(), digest_size=6).hexdigest()
    folder = output.parent / f".{output.name}-rows-{key}"
    prepare_processes(knobs.fits > 0)
    universe = Universe(knobs)
    info = describe(config_name, knobs)
    marginals, texts = Marginals(), SummaryTexts()

    def follow(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        for table in tables:
            marginals.add(table)
            texts.add(table)
            yield table

    def remarks() -> str:
        return REMARKS.format(
            table=comparison_table(marginals.quantiles()),
            citation=CITATION,
            variety=texts.describe(),
        )

    with simulated_splits(universe, folder, processes=processes, progress=progress) as splits:
        followed = {
            split: replace(stream, tables=follow(stream.tables)) for split, stream in splits.items()
        }
        write_dataset(output, followed, info, remarks=remarks, overwrite=overwrite)
    shutil.rmtree(folder)
    return universe


def describe(config_name: str, knobs: Knobs) -> SpecCLIPDatasetInfo:
    """Return the description of a simulated dataset."""
    return SpecCLIPDatasetInfo(
        name=f"SimulatedCSC {config_name}",
        builder="simulated",
        builder_version=VERSION,
        seed=knobs.seed,
        knobs=knobs.record(),
        simulated=True,
        license="cc0-1.0",
        description=DESCRIPTION,
    )
