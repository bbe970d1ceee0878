"""Measured variability of real event lists against the Chandra Source Catalog's."""

import json

import numpy as np
import pytest

from hf_specclip.spectra.timing import N_TIMES, gregory_loredo, uniformity

pytestmark = pytest.mark.slow
COLUMNS = ("ks_prob_b", "kp_prob_b", "var_sigma_b", "var_mean_b", "var_index_b", "gti_elapse")


def measured(row):
    """Test an event list of which every k-th event is kept.

    The times in between are spread evenly; their number is that of the list's first 8 hours,
    scaled by the events kept in that time.
    """
    times = np.array([event[0] for event in row["original_event_list"]])
    times -= times[0]
    length = times[-1]
    kept = np.count_nonzero(times < 8 * 3600)
    number = round(row["_event_list_original_size"] * len(times) / kept)
    edges = np.linspace(0, length, N_TIMES + 1)
    share = np.linspace(0, 1, len(times))
    counts = np.diff(np.rint(number * np.interp(edges, times, share)).astype(int))
    found = gregory_loredo(counts[None], np.array([length]))
    smirnov, kuiper = uniformity(np.interp(np.linspace(0, 1, number), share, times) / length)
    relative = float(found.sigma[0] / found.mean[0])
    return number, found.index[0], found.probability[0], relative, smirnov, kuiper


def test_indices_agree_with_the_catalogue(real_data):
    """Run with `-s` to print the table of docs/events.md."""
    import pyarrow.parquet as pq

    rows = json.loads(
        (real_data / "chandra_spectra" / "event_lists_with_catalogue_rows.json").read_text()
    )
    path = real_data / "csc_catalogue" / "csc20_observations.parquet"
    listed = pq.read_table(path, columns=["obsid", "obi", "region_id", *COLUMNS]).to_pylist()
    catalogue = {(each["obsid"], each["obi"], each["region_id"]): each for each in listed}
    print(
        "\nours and the catalogue's:\n"
        "ObsID  events  index   var_prob_b    sigma/mean     KS          Kuiper"
    )
    pairs, sides, sigmas = [], [], []
    for row in rows:
        number, index, probability, relative, smirnov, kuiper = measured(row)
        theirs = row["var_index_b"]
        pairs.append((index, theirs))
        sides.append((index >= 6) == (theirs >= 6))
        known = catalogue.get((row["obsid"], row["obi"], row["region_id"]))
        more = ""
        if known is not None:
            sigmas.append((relative, known["var_sigma_b"] / known["var_mean_b"]))
            pairs_shown = (sigmas[-1], (smirnov, known["ks_prob_b"]), (kuiper, known["kp_prob_b"]))
            more = "".join(f"  {mine:.3f} {other:.3f}" for mine, other in pairs_shown)
        shown = f"{probability:.2g} {row['var_prob_b']:.2g}"
        line = f"{row['obsid']:>5} {number:>7} {index:>3.0f} {theirs:>3.0f}   {shown:<15}{more}"
        print(line.rstrip())
    ours, theirs = np.array(pairs).T
    close = np.abs(ours - theirs) <= 1
    print(f"same side of 6 (variable): {sum(sides)} of {len(sides)}; within 1: {close.sum()}")
    assert sum(sides) >= 18
    assert close.sum() >= 17
    assert len(sigmas) >= 4
    np.testing.assert_allclose(*np.array(sigmas).T, atol=0.05)
