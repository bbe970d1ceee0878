"""`CSCPapers`: the work folder of a build as a `datasets` builder."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import datasets
import pyarrow as pa

from hf_specclip.hub.publish import Published, publish

from ..contract import SPLITS
from ..folder import write_dataset
from ..info import CONFIGURATIONS, SpecCLIPDatasetInfo
from ..splits import describe_splits
from .assemble import PAIRS, Assembly
from .work.store import FILE

VERSION = "0.2.0"


class CSCPapers(datasets.ArrowBasedBuilder):
    """Detections of the Chandra Source Catalog with the literature about their sources.

    The rows are made of the work folder that `specclip dataset build` leaves; nothing is
    fetched.

    Args:
        config_name: `default` (counts and summaries), `embedded` (with text embeddings, where the
            build made them) or `spectra` (detections by themselves, for pretraining: those of
            sources without a summary, too).
        cache_dir: where `datasets` keeps what it made.

    Raises:
        AssembleError: when the build has not come to its end.
        ValueError: for a configuration that the folder does not have.

    Examples:
        >>> builder = CSCPapers("runs/csc.work", "embedded")  # doctest: +SKIP
        >>> builder.download_and_prepare()  # doctest: +SKIP
        >>> builder.push_to_hub("user/name")  # doctest: +SKIP
    """

    VERSION = datasets.Version(VERSION)

    def __init__(
        self, work: str | Path, config_name: str = PAIRS, *, cache_dir: str | Path | None = None
    ) -> None:
        self.assembly = Assembly(work)
        there = self.assembly.configurations
        if config_name not in there:
            way = "; build with --embedder for it" if config_name in CONFIGURATIONS else ""
            raise ValueError(
                f"configuration {config_name!r} is not in {work}: {', '.join(there)}{way}"
            )
        self.folder = Path(work)
        # Without a name and a hash of its own, `datasets` hands out another builder's rows.
        # All that decides the rows is in the store.
        state = (self.folder / FILE).stat()
        facts = [VERSION, str(self.folder.resolve()), state.st_size, state.st_mtime_ns]
        super().__init__(
            cache_dir=None if cache_dir is None else str(cache_dir),
            dataset_name="csc_papers",
            config_name=config_name,
            hash=hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest(),
            version=VERSION,
        )

    def description(self) -> SpecCLIPDatasetInfo:
        """Describe the dataset."""
        return self.assembly.info

    def write(self, output: str | Path, *, overwrite: bool = False, progress: bool = False) -> str:
        """Write every configuration into one folder, as a repository of the Hub holds them.

        Returns:
            Sizes of the splits, for people.

        Raises:
            DatasetFolderError: when the folder may not be written.
        """
        assembly = self.assembly
        write_dataset(
            output,
            assembly.streams(PAIRS),
            assembly.info,
            more={name: assembly.streams(name) for name in assembly.configurations[1:]},
            overwrite=overwrite,
            progress=progress,
        )
        pairs = assembly.rows.filter(assembly.rows["paired"])
        return describe_splits(pairs["group"].to_pylist(), pairs["split"].to_pylist())

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, token: str | None = None
    ) -> Published:
        """Publish every configuration under its name, with the card.

        Args:
            repo_id: `user/name`.
            private: create a private repository.
            token: of the Hub; by default the one of `hf auth login`.

        Raises:
            PublishError: when the Hub refuses or cannot be reached.
        """
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".push-") as scratch:
            folder = Path(scratch) / self.assembly.info.name
            self.write(folder)
            return publish("dataset", folder, repo_id, private=private, token=token)

    def _info(self) -> datasets.DatasetInfo:
        schema = self.assembly.schema(self.config.name)
        return datasets.DatasetInfo(
            description=self.assembly.info.description,
            features=datasets.Features.from_arrow_schema(schema),
        )

    def _split_generators(
        self, dl_manager: datasets.DownloadManager
    ) -> list[datasets.SplitGenerator]:
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"split": split}) for split in SPLITS
        ]

    def _generate_tables(self, split: str) -> Iterator[tuple[int | datasets.builder.Key, pa.Table]]:
        for number, table in enumerate(self.assembly.streams(self.config.name)[split].tables):
            yield datasets.builder.Key(number, 0), table
