"""Builders of SpecCLIP datasets: simulated, from local tables, from the sky, and what they share.

`python -m specclip_datasets --help` builds a dataset; `load` opens one, whatever form it has.
"""

from .arrays import write_arrays
from .contract import SPLITS, ContractError, contract_features, spectra_features
from .domain import Domain
from .folder import (
    DatasetFolderError,
    SpecCLIPDatasetInfo,
    is_dataset_folder,
    read_dataset,
    write_dataset,
)
from .open_dataset import load
from .simulation.builder import SimulatedCSC
from .sky.builder import CSCPapers
from .splits import assign_groups, describe_splits, split_groups
from .tables import LocalTables, LocalTablesError, is_tables_folder

__all__ = [
    "SPLITS",
    "CSCPapers",
    "ContractError",
    "DatasetFolderError",
    "Domain",
    "LocalTables",
    "LocalTablesError",
    "SimulatedCSC",
    "SpecCLIPDatasetInfo",
    "assign_groups",
    "contract_features",
    "describe_splits",
    "is_dataset_folder",
    "is_tables_folder",
    "load",
    "read_dataset",
    "spectra_features",
    "split_groups",
    "write_arrays",
    "write_dataset",
]
