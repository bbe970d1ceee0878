"""Training of SpecCLIP: scripts for `accelerate launch`, and the parts they are made of.

`pretrain_spectrum.py`, `align.py` and `reproduce.py` are the commands. `presets` reads the YAML in
`configs/`, `data` turns a dataset into arrays, `loop` trains, `checkpoint` keeps what was trained,
`report` writes what was found.
"""
