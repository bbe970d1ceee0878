"""Ends of commands, and names from files that are no text."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from hf_specclip.cli.run_command import PlainOutput, run_command
from hf_specclip.errors import SpecCLIPError
from hf_specclip.formatting import format_cell, plain


def raising(error):
    def work():
        raise error

    return work


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/mine")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "train: stopped"),
        (FULL, 2, "train: the disk is full (runs/mine): make room and run again"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), 2, "disk is full"),
        (RuntimeError("PytorchStreamWriter failed: No space left on device"), 2, "disk is full"),
        (MemoryError(), 2, "train: out of memory: give fewer or smaller files"),
        (RecursionError(), 2, "train: data nested too deeply"),
        (SpecCLIPError("no \x1b[31msuch model"), 2, "train: no \\u001b[31msuch model"),
    ],
)
def test_every_end_is_a_sentence(error, status, words, capsys):
    assert run_command("train", raising(error), failed=2) == status
    assert words in capsys.readouterr().err


def test_faults_of_ours_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_command("train", raising(ZeroDivisionError()))


def test_an_interrupt_while_torch_is_imported(tmp_path):
    """The import calls Python from C++, where an exception aborts the process."""
    (tmp_path / "torch.py").write_text(
        "import os, signal\n"
        "try: os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt: os.abort()"
    )
    code = (
        "import signal, sys; from hf_specclip.cli.run_command import run_command\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(run_command('specclip', lambda: __import__('torch')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=tmp_path, text=True
    )
    assert (done.returncode, done.stderr) == (130, "specclip: stopped\n")


def test_a_full_disk_behind_standard_output():
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("no /dev/full here")
    code = (
        "import sys; from hf_specclip.cli.run_command import run_command\n"
        "sys.exit(run_command('specclip', lambda: print('x' * 10)))"
    )
    with device.open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.decode() == "specclip: the disk is full: make room and run again\n"


def test_output_is_plain_in_every_encoding():
    name = "Γ\x1b]0;title\x07\x9b31m\u202eevil\udce9.pha"
    for encoding in ("utf-8", "ascii", "latin-1"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        output = PlainOutput(stream)
        json.dump({"file": name}, output, ensure_ascii=False)
        output.flush()
        written = stream.buffer.getvalue()
        assert not set(written) & {*range(32), 127}
        assert b"\\u202eevil\\udce9" in written
        if encoding == "utf-8":
            assert json.loads(written)["file"] == name
    assert plain("tab\tline\nnext") == "tab\tline\nnext"


def test_cells_are_no_formulas():
    assert format_cell('=HYPERLINK("x")') == '\'=HYPERLINK("x")'
    assert [format_cell(text) for text in ("3C 273", "α")] == ["3C 273", "α"]
