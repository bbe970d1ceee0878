"""Spectra and statements with a known truth, for the tests of the simulation."""

import numpy as np

from specclip_datasets.simulation import populations, source_classes
from specclip_datasets.simulation.prose.statements import LABELS, label_of


def power_laws(n=1, **changes):
    """Parameters of n power laws without absorber, with some changed: numbers, or arrays (n,)."""
    values = dict.fromkeys(
        ("shape2", "share2", "nh", "nh2", "galactic_nh", "redshift", "line"), 0.0
    )
    values |= {"first": source_classes.POWER_LAW, "second": source_classes.NONE, "shape": 1.8}
    values |= {"covering": 1.0, "abundance": 1.0} | changes
    return populations.Spectra(**{name: np.full(n, value) for name, value in values.items()})


def log_likelihood(statement, facts):
    """ln p of a statement if `facts` are true and nobody is mistaken."""
    if statement.quantity in LABELS:
        truth = label_of(facts, statement.quantity)
        if truth not in statement.label.split("|"):
            # Silence about a second component that is there.
            return np.log(1.0 - statement.chance) if statement.label == "" else -np.inf
        return np.log(statement.chance) if truth else 0.0
    with np.errstate(divide="ignore"):
        return np.log(statement.likelihood(getattr(facts, statement.quantity)))
