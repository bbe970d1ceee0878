"""Pretraining reads its spectra from the Hub, the row groups of a batch and no others."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_specclip.hub.publish import publish

ROWS, GROUP = 4000, 20
CODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from specclip_training.data.streamed import stream_spectra
pairs = stream_spectra("ada/stream")
train = pairs.splits["train"]
rows = train.order(0, "spectrum").rows(0, 32)
found = train.spectra(rows)
print(json.dumps({
    "files": train.source.files,
    "sizes": [len(split) for split in pairs.splits.values()],
    "rows": rows.tolist(),
    "counts": found["counts"].tolist(),
    "exposure": found["exposure"].tolist(),
    "groups_read": train.source.groups_read,
}))
"""


def spectra(n, seed):
    random = np.random.default_rng(seed)
    lists = {
        name: pa.FixedSizeListArray.from_arrays(
            pa.array(random.poisson(rate, n * 400).astype(np.int32)), 400
        )
        for name, rate in (("counts", 2.0), ("background_counts", 0.2))
    }
    numbers = {name: random.uniform(1, 2, n) for name in ("background_scale", "exposure")}
    return pa.table({**lists, **numbers})


def test_spectra_come_from_the_hub_group_by_group(local_hub, stranger, tmp_path):
    folder = tmp_path / "sky" / "data"
    folder.mkdir(parents=True)
    table = spectra(ROWS, 0)
    pq.write_table(table, folder / "train-00000-of-00001.parquet", row_group_size=GROUP)
    pq.write_table(spectra(40, 1), folder / "validation-00000-of-00001.parquet")
    publish("dataset", tmp_path / "sky", "ada/stream")
    before = len(local_hub.requests)
    repository = Path(__file__).parents[2]
    found = json.loads(stranger(CODE, repository, token=None).stdout.splitlines()[-1])
    assert all(file.startswith("hf://datasets/ada/stream") for file in found["files"])
    assert found["sizes"] == [ROWS, 40]
    counts = np.asarray(table["counts"].to_pylist())
    assert np.array_equal(found["counts"], counts[found["rows"]])
    exposure = table["exposure"].to_numpy()[found["rows"]].astype(np.float32)
    assert np.array_equal(np.float32(found["exposure"]), exposure)
    # A row of the batch for each of 32 lanes: a group each, of two hundred.
    assert found["groups_read"] <= 32 < ROWS // GROUP
    asked = [each for each in local_hub.requests[before:] if "train-00000" in each.path]
    assert len(asked) >= found["groups_read"]
