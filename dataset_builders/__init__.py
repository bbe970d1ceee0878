"""Builders of SpecCLIP datasets: simulated, from local tables, and from the sky.

`specclip dataset --help` builds a dataset; `load` opens one in any form.
"""

from .arrays import write_arrays
from .contract import SPLITS, ContractError, contract_features, spectra_features
from .domain import Domain
from .folder import is_dataset_folder, read_dataset, write_dataset
from .from_table.build import from_files, from_table
from .info import DatasetFolderError, SpecCLIPDatasetInfo
from .open_dataset import load
from .simulation.builder import SimulatedCSC
from .sky.builder import CSCPapers
from .splits import assign_groups, describe_splits, split_groups
from .tables.builder import LocalTables, is_tables_folder
from .tables.columns import LocalTablesError

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
    "from_files",
    "from_table",
    "is_dataset_folder",
    "is_tables_folder",
    "load",
    "read_dataset",
    "spectra_features",
    "split_groups",
    "write_arrays",
    "write_dataset",
]
