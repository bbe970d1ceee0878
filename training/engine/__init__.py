"""Training engine: loop, checkpoints, presets, command-line set-up."""
