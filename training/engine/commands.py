"""Command line of the training commands: options, run set-up and error messages."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hf_specclip.cli.arguments import positive_int
from hf_specclip.cli.run_command import run_command
from hf_specclip.errors import SpecCLIPError
from hf_specclip.storage import remove_partial
from specclip_training.engine.presets import Preset, PresetError, load_preset

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINTS = "checkpoints"
LOGS = "logs"
# Marks an output folder as made by training, so that --overwrite removes nothing else.
RUN_MARK = ".specclip-run.json"


@dataclass
class Run:
    """One run of a command.

    Attributes:
        preset: settings of model and training.
        dataset: value of `--dataset`.
        output: folder of the run.
        seed: random seed.
        max_steps: most steps of a stage, None for all.
        cache_dir: cache of embeddings and built datasets; the default caches where None.
        accelerator: devices, processes, precision.
        command: the command line, for the report.
        seconds: duration of each stage in this run.
    """

    preset: Preset
    dataset: str
    output: Path
    seed: int
    max_steps: int | None
    cache_dir: Path | None
    accelerator: Accelerator
    command: str
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_main(self) -> bool:
        """True on the main process, which writes files and prints."""
        return self.accelerator.is_main_process

    def say(self, text: str) -> None:
        """Print a line on the main process."""
        if self.is_main:
            print(text, flush=True)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[list[str]]:
        """Time a stage; the lines appended to the list it yields are printed at the end."""
        self.say(f"── {name}")
        started, lines = time.monotonic(), []
        yield lines
        self.seconds[name] = time.monotonic() - started
        for line in lines:
            self.say(f"   {line}")
        self.say(f"   {name}: {format_seconds(self.seconds[name])}")


def text_parser(
    description: str, epilog: str = "", name: str | None = None
) -> argparse.ArgumentParser:
    """Return a parser whose texts are laid out as they are printed."""
    style = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(
        name, description=description, epilog=epilog, formatter_class=style
    )


def parser(description: str, epilog: str) -> argparse.ArgumentParser:
    """Return a parser with the options of all training commands."""
    options = text_parser(description, epilog)
    options.add_argument(
        "--config",
        required=True,
        metavar="YAML",
        help="preset: a YAML file, or paper, best or demo for one in training/configs",
    )
    options.add_argument(
        "--dataset",
        required=True,
        metavar="FOLDER|HUB_ID",
        help="a dataset on the Hub (user/name), a folder written by `specclip dataset`, or "
        "a folder with detections.parquet and sources.parquet. Texts are embedded unless it has "
        "a column text_embedding",
    )
    options.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder of the run; created if absent"
    )
    add_run_options(options)
    return options


def add_run_options(options: argparse.ArgumentParser) -> None:
    """Add the options of a run beside its preset, dataset and output."""
    options.add_argument("--seed", type=_seed, default=0, help="random seed (default: %(default)s)")
    options.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change one setting of the preset, such as align.lr=3e-4; may be repeated",
    )
    options.add_argument(
        "--max-steps",
        type=positive_int,
        metavar="N",
        help="at most N steps in each stage, for a smoke test",
    )
    options.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="cache of text embeddings and built datasets "
        "(default: HF_SPECCLIP_CACHE, else ~/.cache/hf_specclip)",
    )
    options.add_argument(
        "--overwrite",
        action="store_true",
        help="discard earlier results of this stage and start again (default: continue a run with "
        "the same settings, and refuse one with other settings)",
    )


def start(arguments: argparse.Namespace, preset: Preset, made: Sequence[str]) -> Run:
    """Set up processes, device and output folder.

    Args:
        arguments: of `parser`.
        preset: of the run.
        made: names below the output folder that this command makes; `--overwrite` removes them.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # bars over the shards of a small model only hide the run's own lines

    # Matrix products on a GPU are repeatable only with this; it must be set before the first one.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    output = Path(arguments.output)
    accelerator = Accelerator(
        mixed_precision={"float32": "no", "bfloat16": "bf16"}[preset.precision],
        log_with="tensorboard",
        project_config=ProjectConfiguration(
            project_dir=str(output), logging_dir=str(output / LOGS)
        ),
        # A text without an absent section leaves the vector that stands for it without a gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        prepare_output(output, made, arguments.overwrite)
        remove_partial(output)
    accelerator.wait_for_everyone()
    accelerator.init_trackers("training")
    return Run(
        preset=preset,
        dataset=str(arguments.dataset),
        output=output,
        seed=arguments.seed,
        max_steps=arguments.max_steps,
        cache_dir=None if arguments.cache_dir is None else Path(arguments.cache_dir),
        accelerator=accelerator,
        command=command_line(accelerator.num_processes),
    )


def finish(run: Run) -> None:
    """Close the logs and the group of processes."""
    run.accelerator.wait_for_everyone()
    run.accelerator.end_training()


def prepare_output(output: Path, made: Sequence[str], overwrite: bool) -> None:
    """Mark a folder as a training run's; with `overwrite`, remove the results named in `made`.

    Raises:
        PresetError: when one of the names is there and was not made by training.
    """
    mark = output / RUN_MARK
    present = [name for name in made if os.path.lexists(output / name)]
    if present and not mark.is_file():
        raise PresetError(
            f"{output} holds {', '.join(present)}, which training did not write: move it, or "
            "choose another --output"
        )
    mark.write_text("{}\n", encoding="utf-8")
    if overwrite:
        for path in (output / name for name in present):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def call(main: Callable[[argparse.Namespace, Preset], None], arguments: argparse.Namespace) -> int:
    """Read the preset and run a command.

    Returns:
        0, or 2 after a `SpecCLIPError` or on a full disk, which is printed as one line.
    """

    def work() -> None:
        main(arguments, load_preset(arguments.config, arguments.overrides))

    process = int(os.environ.get("RANK", "0"))
    return run_command(f"[process {process}] error" if process else "error", work, failed=2)


def call_job(
    main: Callable[[argparse.Namespace], Accelerator], arguments: argparse.Namespace
) -> int:
    """Run a command that has no preset and returns its accelerator.

    Returns:
        0, or 2 after an error that the user can mend, which is printed as one line.
    """

    def work() -> None:
        accelerator = main(arguments)
        accelerator.wait_for_everyone()
        accelerator.end_training()

    return run_command("error", work, failed=2, expected=(SpecCLIPError, OSError, ImportError))


def command_line(processes: int) -> str:
    """Return the command line that started this run."""
    if Path(sys.argv[0]).name == "specclip":
        return shlex.join(["specclip", *sys.argv[1:]])
    launch = "accelerate launch" + (f" --num_processes {processes}" if processes > 1 else "")
    module = getattr(sys.modules["__main__"].__spec__, "name", "")
    if module.startswith(f"{__name__.partition('.')[0]}."):  # python -m
        return shlex.join([*launch.split(), "-m", module, *sys.argv[1:]])
    return shlex.join([*launch.split(), *sys.argv])


def format_seconds(seconds: float) -> str:
    """Format a duration, in minutes from two minutes on."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text} must be from 0 to 2**63 - 1")
    return value
