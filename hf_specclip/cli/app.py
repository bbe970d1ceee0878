"""The `specclip app` command: the web page on this machine."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .arguments import add_parser
from .model_arguments import (
    add_embedder_option,
    add_model_arguments,
    add_probe_option,
    load_describer,
)

DESCRIPTION = """\
Start a local web app: upload a spectrum to see related literature, its class, physical variables,
position on the map of the catalogue and outlier score; search by text; export the results.

The app works offline. Uploaded files are deleted once they are read. It has no password and, unless
--host is given, only accepts connections from this machine. Cross-site requests are refused.

  specclip app
  specclip app --model user/name --port 8080
"""


def add_command(subparsers: Any) -> None:
    """Add the `app` command."""
    parser = add_parser(
        subparsers, "app", "web app for describing and searching spectra", DESCRIPTION, run
    )
    add_model_arguments(parser)
    add_embedder_option(parser)
    add_probe_option(parser)
    parser.add_argument("--port", type=_port, default=7860, help="default 7860")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine alone)"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="host name that requests may ask for, such as that of a proxy (repeat)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until it is stopped; return the exit status."""
    from ..app.guard import PageGuard, allowed_hosts, uploads_folder

    with uploads_folder() as folder:
        # Read when Gradio is imported: its temporary files go with this process.
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
        from ..app.page import build_app
        from ..describe.load_model import PARTS

        page = build_app(load_describer(arguments, PARTS))
        from starlette.middleware import Middleware  # comes with Gradio

        is_allowed = allowed_hosts(arguments.host, arguments.allow_host)
        page.launch(
            server_name=arguments.host,
            server_port=arguments.port,
            prevent_thread_lock=True,
            app_kwargs={"middleware": [Middleware(PageGuard, is_allowed, folder)]},
        )
        print(f"http://{arguments.host}:{arguments.port} (Ctrl+C to stop)", flush=True)
        page.block_thread()
    return 0


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: give 1 to 65535")
    return value
