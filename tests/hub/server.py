"""Local server with the API that `huggingface_hub` asks of the Hub. It is not the Hub.

    python tests/hub/server.py --port 8001 --root runs/hub
    HF_ENDPOINT=http://127.0.0.1:8001 HF_HUB_DISABLE_XET=1 HF_TOKEN=hf_ada specclip publish …

Models, datasets and Spaces with commits, branches, tags, private repositories, large files through
LFS with their redirect, a quota, and faults on demand. It listens on the
loopback alone, knows the users it is told of, and checks nothing that the real Hub checks beyond
what is written here: cards, names, paths, hashes, tokens.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from card_rules import card_errors, front_matter
from hub_store import Blob, Commit, HubStore, Refusal, Repository

NOT_THE_HUB = "a local stand-in for tests of hf_specclip; this is not the Hugging Face Hub"
USERS = {"hf_ada": "ada", "hf_bob": "bob"}


@dataclass
class Answer:
    """Answer to a request: `body`, or the content of `file` if given."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] | None = None
    file: Path | None = None


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(json.dumps(value).encode(), status, headers=headers)


class HubServer:
    """Answers at `url` until closed.

    Args:
        root: where the repositories are kept.
        users: token -> user.
        port: 0 takes a free one.

    Attributes:
        store: the repositories.
        requests: (method, path) of all that was asked.
        faults: (route, fault) of requests to come; the first that names a request's route is taken
            from the list and happens to it. Routes are the names of `_Handler`'s methods without
            `on_`; a fault is a status, `drop` or `drop_after`.
    """

    def __init__(self, root: Path, users: dict[str, str] | None = None, port: int = 0):
        self.store = HubStore(Path(root))
        self.users = dict(USERS if users is None else users)
        self.requests: list[tuple[str, str]] = []
        self.faults: list[tuple[str, str | int]] = []
        self.secret = secrets.token_bytes(16)
        owner = self

        class Handler(_Handler):
            hub = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        # Large files lie on another host, as on the Hub: clients ask it without their token.
        self.storage = f"http://localhost:{self._http.server_port}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.02,), daemon=True, name="local hub"
        )
        self._thread.start()

    def __enter__(self) -> HubServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def fault_of(self, route: str) -> str | int | None:
        with self.store.lock:
            for place, (name, fault) in enumerate(self.faults):
                if name == route:
                    del self.faults[place]
                    return fault
        return None

    def sign(self, text: str) -> str:
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()[:32]


_KIND = r"(?P<kind>models|datasets|spaces)"
_API = rf"/api/{_KIND}/(?P<name>[^/]+/[^/]+)"
_FILES = r"/(?:(?P<kind>datasets|spaces)/)?(?P<name>[^/]+/[^/]+?)"
_ROUTES = [
    (method, re.compile(pattern + "$"), route)
    for method, pattern, route in (
        ("GET", "/", "welcome"),
        ("GET", "/api/whoami-v2", "whoami"),
        ("POST", "/api/validate-yaml", "validate_yaml"),
        ("POST", "/api/repos/create", "create"),
        ("GET", rf"{_API}(?:/revision/(?P<revision>[^/]+))?", "info"),
        ("GET", rf"{_API}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?", "tree"),
        ("GET", rf"{_API}/refs", "refs"),
        ("POST", rf"{_API}/branch/(?P<revision>[^/]+)", "add_branch"),
        ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", "preupload"),
        ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", "commit"),
        ("POST", rf"{_FILES}\.git/info/lfs/objects/batch", "lfs_batch"),
        ("PUT", r"/lfs/(?P<oid>[0-9a-f]+)/(?P<size>\d+)/(?P<signature>\w+)", "lfs_upload"),
        ("POST", rf"{_API}/lfs-verify", "lfs_verify"),
        ("GET", r"/lfs/(?P<oid>[0-9a-f]+)/(?P<signature>\w+)", "lfs_download"),
        ("GET", rf"{_FILES}/(?:resolve|raw)/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
    )
]


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    server_version = "specclip-local-hub (not the Hugging Face Hub)"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        self.token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        with self.hub.store.lock:
            self.hub.requests.append((self.command, parts.path))
        method = "GET" if self.command == "HEAD" else self.command
        matches = ((r, p.match(parts.path)) for wanted, p, r in _ROUTES if wanted == method)
        route, found = next(((r, found) for r, found in matches if found), ("nowhere", None))
        values = found.groupdict() if found else {"page": parts.path}
        try:
            self._handle(
                route,
                {name: unquote(value) if value else value for name, value in values.items()},
                self.hub.fault_of(route),
            )
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _handle(self, route: str, values: dict[str, Any], fault: str | int | None) -> None:
        if fault == "drop":  # midway through what is sent here, before anything is done with it
            self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
            self._hang_up()
            return
        self.body = self._read()
        if isinstance(fault, int):
            self._send(self._refused(Refusal(fault, "failing on demand")))
            return
        try:
            with self.hub.store.lock:
                answer = getattr(self, f"on_{route}")(**values)
        except Refusal as refusal:
            answer = self._refused(refusal)
        if fault == "drop_after":  # it is done, and nobody hears of it
            self._hang_up()
            return
        self._send(answer)

    # What is asked of the whole Hub.

    def on_nowhere(self, page: str) -> Answer:
        raise Refusal(404, f"no such page: {page}")

    def on_welcome(self) -> Answer:
        return Answer(NOT_THE_HUB.encode(), kind="text/plain; charset=utf-8")

    def on_whoami(self) -> Answer:
        user = self._user(needed=True)
        access = {"accessToken": {"displayName": "test", "role": "write"}}
        return as_json({"type": "user", "id": user, "name": user, "orgs": [], "auth": access})

    def on_validate_yaml(self) -> Answer:
        asked = json.loads(self.body)
        errors = list(card_errors(asked["content"], asked["repoType"]))
        found = {"errors": [{"message": error} for error in errors], "warnings": []}
        return as_json(found, 400 if errors else 200)

    def on_create(self) -> Answer:
        asked = json.loads(self.body)
        user = self._user(needed=True)
        owner = asked.get("organization") or user
        kind = f"{asked.get('type') or 'model'}s"
        if owner != user:
            raise Refusal(
                403,
                f'You don\'t have the rights to create a {kind[:-1]} under the namespace "{owner}"',
            )
        name = f"{owner}/{asked['name']}"
        url = f"{self.hub.url}/{'' if kind == 'models' else f'{kind}/'}{name}"
        if (kind, name) in self.hub.store.repositories:
            raise Refusal(409, f"You already created this {kind[:-1]} repo: {name}", url=url)
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.store.create(kind, name, private, asked.get("sdk"))
        return as_json({"url": url, "name": name})

    # What is asked of a repository.

    def on_info(self, kind: str, name: str, revision: str | None) -> Answer:
        repository = self._repository(kind, name)
        commit = repository.commit(revision or "main")
        blobs = self.query.get("blobs") in ("1", "true", "True")
        card = self._card(commit)
        siblings = [
            {"rfilename": path, **(self._entry(path, blob, True) if blobs else {})}
            for path, blob in sorted(commit.files.items())
        ]
        info = {
            "id": name,
            "author": repository.owner,
            "sha": commit.oid,
            "lastModified": commit.date,
            "createdAt": repository.created,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "tags": card.get("tags") or [],
            "cardData": card,
            "siblings": siblings,
        }
        if kind == "models":
            info |= {"modelId": name, "library_name": card.get("library_name")}
        if kind == "spaces":
            info |= {"sdk": repository.sdk}
        return as_json(info)

    def on_tree(self, kind: str, name: str, revision: str, path: str | None) -> Answer:
        commit = self._repository(kind, name).commit(revision)
        folder = f"{path.strip('/')}/" if path else ""
        below = {p: b for p, b in commit.files.items() if p.startswith(folder)}
        if not below:
            raise Refusal(404, f"{path} does not exist on {revision}", "EntryNotFound")
        recursive = self.query.get("recursive") in ("1", "true", "True")
        found: dict[str, dict[str, Any]] = {}
        for file, blob in below.items():
            parts = file.removeprefix(folder).split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                inner = folder + "/".join(parts[:depth])
                oid = hashlib.sha1(inner.encode()).hexdigest()
                found[inner] = {"type": "directory", "path": inner, "oid": oid, "size": 0}
            if recursive or len(parts) == 1:
                found[file] = {"type": "file", **self._entry(file, blob)}
        return as_json([found[name] for name in sorted(found)])

    def on_refs(self, kind: str, name: str) -> Answer:
        branches = [
            {"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": oid}
            for branch, oid in self._repository(kind, name).branches.items()
        ]
        return as_json({"branches": branches, "tags": [], "converts": [], "pullRequests": []})

    def on_add_branch(self, kind: str, name: str, revision: str) -> Answer:
        repository = self._repository(kind, name, write=True)
        if revision in repository.branches:
            raise Refusal(409, f"Reference already exists: {revision}")
        start = json.loads(self.body or b"{}").get("startingPoint") or "main"
        repository.branches[revision] = repository.commit(start).oid
        return as_json({})

    # How files come in.

    def on_preupload(self, kind: str, name: str, revision: str) -> Answer:
        repository = self._repository(kind, name, write=True)
        there = repository.commit(revision).files
        files = []
        for file in json.loads(self.body)["files"]:
            sample = base64.b64decode(file.get("sample", ""))
            lfs = self.hub.store.is_lfs(repository, revision, file["path"], file["size"], sample)
            known = there.get(file["path"])
            files.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if lfs else "regular",
                    "shouldIgnore": False,
                    "oid": known.etag if known and known.lfs == lfs else None,
                }
            )
        return as_json({"files": files})

    def on_lfs_batch(self, kind: str | None, name: str) -> Answer:
        kind = kind or "models"
        repository = self._repository(kind, name, write=True)
        asked = json.loads(self.body)["objects"]
        new = [o for o in asked if not self.hub.store.object_path(o["oid"]).exists()]
        self.hub.store.check_quota(repository, [Blob(o["oid"], o["size"], "", True) for o in new])
        objects = []
        for item in asked:
            found: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
            if item in new:
                place = f"{item['oid']}/{item['size']}"
                upload = f"{self.hub.storage}/lfs/{place}/{self.hub.sign(f'put {place}')}"
                verify = f"{self.hub.url}/api/{kind}/{name}/lfs-verify"
                found["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
            objects.append(found)
        return as_json({"transfer": "basic", "objects": objects})

    def on_lfs_upload(self, oid: str, size: str, signature: str) -> Answer:
        if signature != self.hub.sign(f"put {oid}/{size}"):
            raise Refusal(403, "the signature is wrong")
        if len(self.body) != int(size) or hashlib.sha256(self.body).hexdigest() != oid:
            raise Refusal(400, "the content is not what was announced")
        self.hub.store.put(self.body)
        return Answer(headers={"ETag": f'"{oid}"'})

    def on_lfs_verify(self, kind: str, name: str) -> Answer:
        self._repository(kind, name, write=True)
        asked = json.loads(self.body)
        path = self.hub.store.object_path(asked["oid"])
        if not path.exists() or path.stat().st_size != asked["size"]:
            raise Refusal(404, "the object is not there")
        return as_json({})

    def on_commit(self, kind: str, name: str, revision: str) -> Answer:
        repository = self._repository(kind, name, write=True)
        store, header = self.hub.store, {}
        added: dict[str, Blob] = {}
        removed: set[str] = set()
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                header = value
            elif item["key"] == "file":
                added[value["path"]] = store.put(base64.b64decode(value["content"]))
            elif item["key"] == "lfsFile":
                path = store.object_path(value["oid"])
                if not path.exists():
                    raise Refusal(400, f"LFS pointer to a missing object: {value['path']}")
                blob = store.put(path.read_bytes())
                added[value["path"]] = Blob(blob.sha256, blob.size, blob.git_oid, lfs=True)
            else:
                removed.add(value["path"] + ("/" if item["key"] == "deletedFolder" else ""))
        card = added.get("README.md")
        if card is not None:
            text = store.object_path(card.sha256).read_text(encoding="utf-8")
            errors = list(card_errors(text, kind[:-1]))
            if errors:
                raise Refusal(400, "; ".join(errors))
        commit = store.add_commit(
            repository, revision, header["summary"], added, removed, header.get("parentCommit")
        )
        prefix = "" if kind == "models" else f"{kind}/"
        url = f"{self.hub.url}/{prefix}{name}/commit/{commit.oid}"
        return as_json(
            {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""}
        )

    # How files go out.

    def on_resolve(self, kind: str | None, name: str, revision: str, path: str) -> Answer:
        commit = self._repository(kind or "models", name).commit(revision)
        blob = commit.files.get(path)
        headers = {"X-Repo-Commit": commit.oid}
        if blob is None:
            raise Refusal(404, f"Entry not found: {path}", "EntryNotFound", _headers=headers)
        if not blob.lfs:
            headers["ETag"] = f'"{blob.etag}"'
            return Answer(
                headers=headers,
                file=self.hub.store.object_path(blob.sha256),
                kind="text/plain; charset=utf-8",
            )
        signature = self.hub.sign(f"get {blob.sha256}")
        headers |= {
            "X-Linked-Etag": f'"{blob.etag}"',
            "X-Linked-Size": str(blob.size),
            "Location": f"{self.hub.storage}/lfs/{blob.sha256}/{signature}",
        }
        return Answer(b"Found. Redirecting", 302, "text/plain", headers)

    def on_lfs_download(self, oid: str, signature: str) -> Answer:
        path = self.hub.store.object_path(oid)
        if signature != self.hub.sign(f"get {oid}") or not path.exists():
            raise Refusal(403, "the signature is wrong")
        headers = {"ETag": f'"{oid}"'}
        return Answer(file=path, kind="application/octet-stream", headers=headers)

    # What these share.

    def _user(self, needed: bool = False) -> str | None:
        if not self.token:
            if needed:
                raise Refusal(401, "Invalid username or password.")
            return None
        if self.token not in self.hub.users:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.users[self.token]

    def _repository(self, kind: str, name: str, write: bool = False) -> Repository:
        user = self._user()
        repository = self.hub.store.repositories.get((kind, name))
        if repository is None or (repository.private and user != repository.owner):
            # The Hub does not tell a stranger what is private and what is not there.
            if user is None:
                raise Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if write and user is None:
            raise Refusal(401, "Invalid username or password.")
        if write and user != repository.owner:
            raise Refusal(403, f"Forbidden: you must be allowed to write to {name}")
        return repository

    def _entry(self, path: str, blob: Blob, sibling: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = {"path": path, "size": blob.size, "oid": blob.git_oid}
        if sibling:
            found["blobId"] = blob.git_oid
        if blob.lfs:
            found["lfs"] = {
                "oid": blob.sha256,
                "sha256": blob.sha256,
                "size": blob.size,
                "pointerSize": 130,
            }
        return found

    def _card(self, commit: Commit) -> dict[str, Any]:
        blob = commit.files.get("README.md")
        if blob is None:
            return {}
        text = self.hub.store.object_path(blob.sha256).read_text(encoding="utf-8")
        return front_matter(text) or {}

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _refused(self, refusal: Refusal) -> Answer:
        headers = dict(refusal.more.pop("_headers", {}))
        headers["X-Error-Message"] = quote(refusal.message, safe=" \"'/:.,()")
        if refusal.code:
            headers["X-Error-Code"] = refusal.code
        return as_json({"error": refusal.message, **refusal.more}, refusal.status, **headers)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _send(self, answer: Answer) -> None:
        body, status, headers = answer.body, answer.status, dict(answer.headers or {})
        if answer.file is not None:
            body = answer.file.read_bytes()
            headers["Accept-Ranges"] = "bytes"
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted:
                start = int(wanted[1])
                stop = min(int(wanted[2] or len(body) - 1), len(body) - 1)
                headers["Content-Range"] = f"bytes {start}-{stop}/{len(body)}"
                status, body = (206, body[start : stop + 1])
        self.send_response(status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--root", type=Path, default=Path("runs/hub"))
    arguments = parser.parse_args()
    with HubServer(arguments.root, port=arguments.port) as hub:
        print(f"{hub.url}: {NOT_THE_HUB}\ntokens: {hub.users}", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
