"""Spectra of given parameters, for the tests of the simulation."""

import numpy as np

from specclip_datasets.simulation import populations, source_classes


def power_laws(n=1, **changes):
    """Parameters of n power laws without absorber, with some changed: numbers, or arrays (n,)."""
    values = dict.fromkeys(
        ("shape2", "share2", "nh", "nh2", "galactic_nh", "redshift", "line"), 0.0
    )
    values |= {"first": source_classes.POWER_LAW, "second": source_classes.NONE, "shape": 1.8}
    values |= {"covering": 1.0, "abundance": 1.0} | changes
    return populations.Spectra(**{name: np.full(n, value) for name, value in values.items()})
