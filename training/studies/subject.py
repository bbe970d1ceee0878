"""Subject of a study: a finished run, and the split measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from specclip_training.engine.commands import Run
from specclip_training.studies.representations import SplitRepresentations


@dataclass(frozen=True)
class Subject:
    """Finished run and its rows; the artifacts of a study go to its output folder.

    Attributes:
        run: the run.
        reps: representations by split; what is fitted is fitted on `train`.
        split: the split measured on.
        simulated: True for simulated rows, as reports then state.
    """

    run: Run
    reps: Mapping[str, SplitRepresentations] = field(default_factory=dict)
    split: str = "test"
    simulated: bool = False

    @property
    def rows(self) -> SplitRepresentations:
        """Rows of the split measured on."""
        return self.reps[self.split]

    @property
    def train(self) -> SplitRepresentations:
        """Rows of `train`."""
        return self.reps["train"]

    @property
    def word(self) -> str:
        """`"simulated "` for simulated rows, else empty."""
        return "simulated " if self.simulated else ""

    @property
    def draws(self) -> dict[str, int]:
        """`n_bootstrap` and `seed` of intervals."""
        return {"n_bootstrap": self.run.preset.evaluation.n_bootstrap, "seed": self.run.seed}

    def figure(self, name: str) -> Path | None:
        """Return the path of a figure; None on processes that draw none."""
        return self.run.output / "figures" / name if self.run.is_main else None
