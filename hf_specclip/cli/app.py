"""The `specclip app` command: the web page on this machine."""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

from .arguments import add_parser
from .model_arguments import add_embedder_option, add_model_arguments, load_describer

DESCRIPTION = """\
Serve a web page on this machine: drop a spectrum to see the nearest literature, its class, its
physical variables, its position on the map of the catalogue and its outlier score; search in words;
export the results.

The page needs no network. Uploaded files are removed once they are read. Only this machine can
reach it, unless --host says otherwise: it has no password.

  specclip app
  specclip app --model user/name --port 8080
"""


def add_command(subparsers: Any) -> None:
    """Add the `app` command."""
    parser = add_parser(subparsers, "app", "web page to drop spectra on", DESCRIPTION, run)
    add_model_arguments(parser)
    add_embedder_option(parser)
    parser.add_argument("--port", type=_port, default=7860, help="default 7860")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine alone)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until it is stopped; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="specclip-app-") as folder:
        # Read when Gradio is imported: its temporary files go with this process.
        os.environ["GRADIO_TEMP_DIR"] = folder
        from ..app.page import build_app
        from ..describe.load_model import PARTS

        page = build_app(load_describer(arguments, PARTS))
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
