"""Example without torch and without this package: a spectrum embedded by an exported model.

python embed_onnx.py EXPORTED spectrum.csv EXPOSURE BACKGROUND_SCALE vector.npy

spectrum.csv has a line for each energy bin of the model: counts, counts of the background region,
effective area in cm² (nan for unknown). It needs numpy and onnxruntime.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

folder, table, exposure, scale, output = Path(sys.argv[1]), *sys.argv[2:]
settings = json.loads((folder / "specclip_export.json").read_text(encoding="utf-8"))
features, graph = settings["features"], settings["spectrum"]
counts, background, area = np.loadtxt(table, delimiter=",", ndmin=2, unpack=True)
if len(counts) != features["n_bins"] or (counts < 0).any() or (counts % 1 > 0).any():
    (low, high), unit = features["energy_range"], features["axis"][1]
    sys.exit(f"{table}: give whole counts in {features['n_bins']} bins of {low}–{high} {unit}")
columns = {
    "counts": counts, "exposure": exposure, "background_counts": background,
    "background_scale": scale, "effective_area": area,
}  # fmt: skip
session = onnxruntime.InferenceSession(folder / graph["file"])
inputs = {each["name"]: np.float32(columns[each["name"]])[None] for each in graph["inputs"]}
[vector] = session.run(["embeddings"], inputs)[0]
np.save(output, vector)
print(f"{len(vector)} numbers of length {np.linalg.norm(vector):.3f} → {output}")
