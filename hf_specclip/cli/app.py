"""`specclip app`: the page on this machine."""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

DESCRIPTION = """\
Serve a page on this machine: drop a spectrum and see the literature it resembles, its class, its
physical variables, its place on the catalogue's map and how unusual it is; search in words; export.

It needs no network. What is dropped on it is read and removed. Only this machine can reach it,
unless --host says otherwise: it has no password.

  specclip app
  specclip app --model user/name --port 8080
"""


def add_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add `app` to the commands; gives its parser, whose `run` is `run`."""
    parser = subparsers.add_parser(
        "app",
        help="a page to drop spectra on",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        default="runs/demo",
        help="a run, a model folder, or user/name on the Hub (default: runs/demo)",
    )
    parser.add_argument("--port", type=_port, default=7860, help="default 7860")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine alone)"
    )
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until it is stopped."""
    with tempfile.TemporaryDirectory(prefix="specclip-app-") as folder:
        # Read when Gradio is imported: what it keeps for a moment goes with this process.
        os.environ["GRADIO_TEMP_DIR"] = folder
        from ..app.page import build_app

        page = build_app(arguments.model)
        page.launch(
            server_name=arguments.host, server_port=arguments.port, prevent_thread_lock=True
        )
        print(f"http://{arguments.host}:{arguments.port} (Ctrl+C to stop)", flush=True)
        page.block_thread()
    return 0


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: give 1 to 65535")
    return value


__all__ = ["add_command", "run"]
