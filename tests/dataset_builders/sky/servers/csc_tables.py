"""Simulated tables of the Chandra Source Catalog."""

from __future__ import annotations

from typing import Any

import numpy as np
from tap_server import TapServer

from specclip_datasets.contract import LIMITED_VARIABLES, variable_units
from specclip_datasets.simulation.detections import source_names

MASTER = {
    "name": "TEXT", "ra": "REAL", "dec": "REAL", "err_ellipse_r0": "REAL",
    "err_ellipse_r1": "REAL", "err_ellipse_ang": "REAL", "pileup_flag": "TEXT",
    "var_inter_prob_b": "REAL",
}  # fmt: skip
STACK = {"detect_stack_id": "TEXT", "region_id": "INTEGER"}
MASTER_STACK = {"name": "TEXT", **STACK, "match_type": "TEXT"}
STACK_OBSERVATION = {**STACK, "obsid": "INTEGER", "obi": "INTEGER"}
OBSERVATION = {
    "obsid": "INTEGER", "obi": "INTEGER", "region_id": "INTEGER", "instrument": "TEXT",
    "detector": "TEXT", "theta": "REAL", "livetime": "REAL", "gti_mjd_obs": "REAL",
    "src_cnts_aper_b": "REAL", "sat_src_flag": "TEXT", "streak_src_flag": "TEXT",
    **{
        column: "REAL"
        for name in variable_units()
        if not name.startswith("var_inter")
        for column in (
            name, *([f"{name}_lolim", f"{name}_hilim"] if name in LIMITED_VARIABLES else [])
        )
    },
}  # fmt: skip


def csc_name(ra: float, dec: float) -> str:
    """Return the catalogue name of a position (truncated, not rounded)."""
    return str(source_names(np.array([ra]), np.array([dec]), np.array([False]))[0])


class Sky:
    """Random sources and detections.

    Every source is detected in `per_source` of the `observations`, whose ObsIDs start at 1000;
    observations of a field contain the same sources.

    Attributes:
        master, detections: rows of `master_source`, and of `observation_source` with the source's
            name in `name`.
    """

    def __init__(self, n: int = 40, per_source: int = 3, observations: int = 12, seed: int = 1):
        random = np.random.default_rng(seed)
        self.master: list[dict[str, Any]] = []
        self.detections: list[dict[str, Any]] = []
        # Far enough apart that error ellipses do not overlap.
        for source in range(n):
            ra = float((source * 9.0 + random.uniform(0, 4)) % 360)
            dec = float(random.uniform(-80, 80))
            row = {"name": csc_name(ra, dec), "ra": ra, "dec": dec, "pileup_flag": "F "}
            ellipse = ("err_ellipse_r0", "err_ellipse_r1", "err_ellipse_ang", "var_inter_prob_b")
            drawn = random.uniform([0.5, 0.3, 0, 0], [3, 0.5, 180, 1]).tolist()
            self.master.append(row | dict(zip(ellipse, drawn, strict=True)))
            for visit in range(per_source):
                fields = observations // per_source
                obsid = 1000 + source % fields + visit * fields
                self.detections.append(self._detection(source, obsid, random))

    def _detection(self, source: int, obsid: int, random: np.random.Generator) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": self.master[source]["name"], "obsid": obsid, "obi": 0, "region_id": source + 1,
            "instrument": "ACIS  ", "detector": "ACIS-7", "theta": float(random.uniform(0, 8)),
            "livetime": 1e4, "gti_mjd_obs": 52000.0 + obsid, "sat_src_flag": "F ",
            "src_cnts_aper_b": float(random.uniform(20, 900)), "streak_src_flag": "F ",
        }  # fmt: skip
        for column, kind in OBSERVATION.items():
            if column not in row and kind == "REAL":
                value = float(random.uniform(0.1, 5))
                row[column] = None if random.uniform() < 0.2 else value
        return row

    def load(self, server: TapServer) -> TapServer:
        """Load all tables into a TAP server."""
        server.add_table("csc21.master_source", self.master, MASTER)
        stacks = [
            {
                "name": row["name"],
                "detect_stack_id": f"stack{number // 4}   ",
                "region_id": number + 1,
                "match_type": "u ",
            }
            for number, row in enumerate(self.master)
        ]
        stack_of = {row["name"]: row for row in stacks}
        server.add_table("csc21.master_stack_assoc", stacks, MASTER_STACK)
        server.add_table("csc21.stack_source", stacks, STACK)
        rows = [
            {**stack_of[row["name"]], "obsid": row["obsid"], "obi": row["obi"]}
            for row in self.detections
        ]
        server.add_table("csc21.stack_observation_assoc", rows, STACK_OBSERVATION)
        server.add_table("csc21.observation_source", self.detections, OBSERVATION)
        return server
