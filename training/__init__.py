"""Training of SpecCLIP: commands for `accelerate launch`, and the modules they share.

Commands are the files of this folder. `engine` trains and keeps checkpoints, `data` reads datasets,
`stages` pretrain and align, `studies` evaluate, `reports` write, `configs` holds the presets.
"""
