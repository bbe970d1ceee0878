"""GAVO DaCHS, a TAP service that nobody here wrote, with the tables of the tests in it.

It needs Debian's `gavodachs2-server` (see `set_up_dachs.sh`) and root: its commands run as the
users that the package has made.
"""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from xml.sax.saxutils import quoteattr

from tap_server import TapServer

INPUTS = Path("/var/gavo/inputs")
TYPES = {"TEXT": "text", "REAL": "double precision", "INTEGER": "integer", "BIGINT": "bigint"}


def why_not() -> str | None:
    """Why it cannot be used here, or None."""
    if shutil.which("dachs") is None:
        return "GAVO DaCHS is not installed: see tests/dataset_builders/sky/set_up_dachs.sh"
    if os.geteuid() != 0:
        return "GAVO DaCHS is started by root alone"
    return None


class DachsService:
    """Serves tables at `url` until closed.

    Args:
        tables: schema -> a server that holds the tables; those of TAP itself are left out.
    """

    def __init__(self, tables: Mapping[str, TapServer]) -> None:
        self.tables = dict(tables)
        self._scratch = Path(tempfile.mkdtemp(prefix="dachs-"))
        self._scratch.chmod(0o777)
        self._process: subprocess.Popen | None = None
        self._started_cluster: list[str] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        settings = self._scratch / "gavorc"
        settings.write_text(
            f"[web]\nbindAddress: 127.0.0.1\nserverPort: {port}\nserverURL: {self.url}\n"
        )
        settings.chmod(0o644)
        self._environment = {**os.environ, "GAVOSETTINGS": str(settings)}

    def __enter__(self) -> DachsService:
        try:
            self._start_database()
            for schema, server in self.tables.items():
                self._load(schema, server)
            self._serve()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop it, and leave the machine as it was."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
        for schema in self.tables:
            if self._folder(schema).is_dir():
                self._run("dachsroot", "drop", "--all", f"{self._folder(schema).name}/q")
                shutil.rmtree(self._folder(schema))
        if self._started_cluster is not None:
            subprocess.run(["pg_ctlcluster", *self._started_cluster, "stop", "-m", "fast"])
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _start_database(self) -> None:
        listed = subprocess.run(
            ["pg_lsclusters", "--no-header"], capture_output=True, text=True, check=True
        )
        clusters = [line.split() for line in listed.stdout.splitlines()]
        if not any(cluster[3].startswith("online") for cluster in clusters):
            self._started_cluster = clusters[0][:2]
            subprocess.run(["pg_ctlcluster", *self._started_cluster, "start"], check=True)

    @staticmethod
    def _folder(schema: str) -> Path:
        return INPUTS / f"specclip_{schema}"

    def _load(self, schema: str, server: TapServer) -> None:
        """Describe the tables as DaCHS wants it, and have them read."""
        folder = self._folder(schema)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        metas = {
            "title": "tables of a test", "description": "simulated", "subject": "test",
            "creationDate": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        lines = [f'<resource schema={quoteattr(schema)} resdir="{self._folder(schema).name}">']
        lines += [f"<meta name={quoteattr(k)}>{v}</meta>" for k, v in metas.items()]
        for name, (columns, _) in server.tables.items():
            plain = name.rpartition(".")[2]
            if name.startswith("tap_schema"):
                continue
            stored = name.replace(".", "_")
            cursor = server.database.execute(f"SELECT * FROM {stored}")
            kinds = {
                row[1]: row[2] for row in server.database.execute(f"PRAGMA table_info({stored})")
            }
            with (folder / "data" / f"{plain}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(
                    ["" if value is None else value for value in row] for row in cursor
                )
            lines.append(f'<table id={quoteattr(plain)} onDisk="True" adql="True">')
            for column in columns:
                kind = TYPES[kinds[column]]
                needed = ' required="True"' if kind in ("integer", "bigint") else ""
                lines.append(
                    f'<column name="{column}" type="{kind}" description="{column}"{needed}/>'
                )
            lines.append("</table>")
            lines.append(
                f'<data id="import_{plain}"><sources>data/{plain}.csv</sources><csvGrammar/>'
                f'<make table="{plain}"><rowmaker idmaps="*"/></make></data>'
            )
        (folder / "q.rd").write_text("\n".join([*lines, "</resource>"]))
        shutil.chown(folder, "dachsroot", "gavo")
        done = self._run("dachsroot", "imp", f"{folder.name}/q")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def _run(self, user: str, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["dachs", *words], user=user, group="gavo", extra_groups=[], cwd=INPUTS,
            env={**self._environment, "HOME": str(self._scratch), "USER": user},
            capture_output=True, text=True,
        )  # fmt: skip

    def _serve(self) -> None:
        log = (self._scratch / "log.txt").open("w")
        self._process = subprocess.Popen(
            ["dachs", "serve", "debug"], user="gavo", group="gavo", extra_groups=[], cwd=INPUTS,
            env={**self._environment, "HOME": str(self._scratch), "USER": "gavo"},
            stdout=log, stderr=log,
        )  # fmt: skip
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{self.url}/tap/availability", timeout=5).read()
                return
            except OSError:
                assert self._process.poll() is None, (self._scratch / "log.txt").read_text()[-3000:]
                time.sleep(0.3)
        raise AssertionError("GAVO DaCHS did not start within minutes")
