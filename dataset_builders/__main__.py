"""`specclip dataset`: build a dataset in the contract's form."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from hf_specclip.cli.run_command import run_command
from hf_specclip.errors import SpecCLIPError

from .from_table.command import add_commands as add_own_commands
from .simulation.command import add_commands as add_simulation_commands
from .tables.command import add_command as add_tables_command

# Imported on demand, as they need the extra `build`.
FROM_THE_SKY = {
    "build": (".sky.command", "build from the Chandra Source Catalog, archive and literature"),
    "prompts": (".sky.literature.compare_prompts", "compare prompts for summaries"),
}
EPILOG = """\
examples:
  specclip dataset from-table sources.csv --spectra spectra/ --text abstract -o runs/mine
  specclip dataset from-files spectra/*.pha --text-dir notes/ -o runs/mine
  specclip dataset simulate --config demo --output runs/simulated
  specclip dataset simulate --config custom --pairs 5000 --seed 3 --output runs/mine
  specclip dataset tables my_tables --output runs/mine
  specclip dataset build --source csc --names names.txt --output runs/mine

The output is a folder for `datasets.load_dataset(FOLDER)` and for `--dataset` in training. It has
four splits (train, calibration, validation, test); sources that share an observation, a host or a
paper are in the same split.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for invalid input."""
    parser = argparse.ArgumentParser(
        prog="specclip dataset",
        description="Build pairs of X-ray spectra and summaries of the literature.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_own_commands(commands)
    add_simulation_commands(commands)
    add_tables_command(commands)
    words = sys.argv[1:] if arguments is None else arguments
    for name, (module, summary) in FROM_THE_SKY.items():
        if name in words[:1]:
            import_module(module, __package__).add_command(commands)
        else:
            commands.add_parser(name, help=summary)
    options = parser.parse_args(arguments)
    expected = (SpecCLIPError, OSError, ValueError, ImportError)
    return run_command("error", lambda: options.run(options), failed=2, expected=expected)


if __name__ == "__main__":
    sys.exit(main())
