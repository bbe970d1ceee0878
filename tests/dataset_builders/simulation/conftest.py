"""One simulated universe without fits for all tests that only read it."""

import numpy as np
import pytest

from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs


@pytest.fixture(scope="session")
def universe():
    return Universe(Knobs(pairs=600, seed=2, fits=False))


@pytest.fixture(scope="session")
def rows(universe):
    return universe.rows(np.arange(600))
