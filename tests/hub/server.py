"""Local server with the API that `huggingface_hub` asks of the Hub. It is not the Hub.

    python tests/hub/server.py --port 8001 --root runs/hub
    HF_ENDPOINT=http://127.0.0.1:8001 HF_HUB_DISABLE_XET=1 HF_TOKEN=hf_ada specclip publish …

Models, datasets and Spaces with commits, branches, tags, private repositories, large files through
LFS with their redirect, a quota, and faults on demand. It listens on the loopback alone, knows the
users it is told of, and checks cards, hashes and tokens, nothing else that the real Hub checks.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from card_rules import card_errors, front_matter
from faulty import FaultyServer, Request, Response
from hub_store import Blob, Commit, HubStore, Refusal, Repository

NOT_THE_HUB = "a local stand-in for tests of hf_specclip; this is not the Hugging Face Hub"
USERS = {"hf_ada": "ada", "hf_bob": "bob"}

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
        ("GET", r"/lfs/(?P<oid>[0-9a-f]+)/(?P<signature>\w+)", "lfs_download"),
        ("GET", rf"{_FILES}/(?:resolve|raw)/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
    )
]


class HubServer(FaultyServer):
    """Answers at `url` until closed.

    Args:
        root: where the repositories are kept.
        users: token -> user.
        port: 0 takes a free one.

    Attributes:
        store: the repositories.
        faults: (route, fault) of requests to come; the first that names a request's route is taken
            from the list and happens to it. Routes are the names of the methods without `on_`;
            faults are those of `FaultyServer`.
    """

    def __init__(self, root: Path, users: dict[str, str] | None = None, port: int = 0):
        self.store = HubStore(Path(root))
        self.users = dict(USERS if users is None else users)
        self.faults: list[tuple[str, str | int]] = []
        self.secret = secrets.token_bytes(16)
        super().__init__(port=port)
        # Large files lie on another host, as on the Hub: clients ask it without their token.
        self.storage = self.url.replace("127.0.0.1", "localhost")

    def route(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Return the name of a request's route, and the values in its path."""
        method = "GET" if request.method == "HEAD" else request.method
        for wanted, pattern, name in _ROUTES:
            if wanted == method and (match := pattern.match(request.path)):
                return name, {key: v and unquote(v) for key, v in match.groupdict().items()}
        return "nowhere", {}

    def next_fault(self, request: Request) -> str | int | None:
        name, _ = self.route(request)
        fault = next((each for each in self.faults if each[0] == name), None)
        if fault is None:
            return None
        self.faults.remove(fault)
        return fault[1]

    def respond(self, request: Request) -> Response:
        name, values = self.route(request)
        try:
            with self.store.lock:
                response = getattr(self, f"on_{name}")(request, **values)
        except Refusal as refusal:
            headers = dict(refusal.more.pop("_headers", {}))
            headers["X-Error-Message"] = quote(refusal.message, safe=" \"'/:.,()")
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            body = {"error": refusal.message, **refusal.more}
            return Response.json(body, refusal.status, **headers)
        size = len(response.content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if wanted and "Accept-Ranges" in response.headers:
            start, stop = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
            response.headers["Content-Range"] = f"bytes {start}-{stop}/{size}"
            response.status, response.content = 206, response.content[start : stop + 1]
        return response

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment of a process that knows no other Hub; its cache lies in `home`."""
        left_out = ("PYTHON", "HF_", "VIRTUAL")
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(left_out)},
            "HF_ENDPOINT": self.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HOME": str(home),
        }

    def sign(self, text: str) -> str:
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()[:32]

    # What is asked of the whole Hub.

    def on_nowhere(self, request: Request) -> Response:
        raise Refusal(404, f"no such page: {request.path}")

    def on_welcome(self, request: Request) -> Response:
        return Response(NOT_THE_HUB.encode(), "text/plain; charset=utf-8")

    def on_whoami(self, request: Request) -> Response:
        user = self._user(request, needed=True)
        access = {"accessToken": {"displayName": "test", "role": "write"}}
        return Response.json({"type": "user", "id": user, "name": user, "orgs": [], "auth": access})

    def on_validate_yaml(self, request: Request) -> Response:
        asked = json.loads(request.body)
        errors = list(card_errors(asked["content"], asked["repoType"]))
        found = {"errors": [{"message": error} for error in errors], "warnings": []}
        return Response.json(found, 400 if errors else 200)

    def on_create(self, request: Request) -> Response:
        asked = json.loads(request.body)
        user = self._user(request, needed=True)
        owner = asked.get("organization") or user
        kind = f"{asked.get('type') or 'model'}s"
        if owner != user:
            raise Refusal(
                403,
                f'You don\'t have the rights to create a {kind[:-1]} under the namespace "{owner}"',
            )
        name = f"{owner}/{asked['name']}"
        url = f"{self.url}/{'' if kind == 'models' else f'{kind}/'}{name}"
        if (kind, name) in self.store.repositories:
            raise Refusal(409, f"You already created this {kind[:-1]} repo: {name}", url=url)
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.store.create(kind, name, private, asked.get("sdk"))
        return Response.json({"url": url, "name": name})

    # What is asked of a repository.

    def on_info(self, request: Request, kind: str, name: str, revision: str | None) -> Response:
        repository = self._repository(request, kind, name)
        commit = repository.commit(revision or "main")
        blobs = request.query.get("blobs") in ("1", "true", "True")
        card = self._card(commit)
        siblings = [
            {"rfilename": path, **(self._entry(path, blob, True) if blobs else {})}
            for path, blob in sorted(commit.files.items())
        ]
        about = {"id": name, "author": repository.owner, "sha": commit.oid, "sdk": repository.sdk}
        about |= {"lastModified": commit.date, "createdAt": repository.created}
        about |= {"private": repository.private, "gated": False, "disabled": False}
        about |= {"tags": card.get("tags") or [], "cardData": card, "siblings": siblings}
        return Response.json(about)

    def on_tree(
        self, request: Request, kind: str, name: str, revision: str, path: str | None
    ) -> Response:
        commit = self._repository(request, kind, name).commit(revision)
        folder = f"{path.strip('/')}/" if path else ""
        below = {p: b for p, b in commit.files.items() if p.startswith(folder)}
        if not below:
            raise Refusal(404, f"{path} does not exist on {revision}", "EntryNotFound")
        recursive = request.query.get("recursive") in ("1", "true", "True")
        found: dict[str, dict[str, Any]] = {}
        for file, blob in below.items():
            parts = file.removeprefix(folder).split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                inner = folder + "/".join(parts[:depth])
                oid = hashlib.sha1(inner.encode()).hexdigest()
                found[inner] = {"type": "directory", "path": inner, "oid": oid, "size": 0}
            if recursive or len(parts) == 1:
                found[file] = {"type": "file", **self._entry(file, blob)}
        return Response.json([found[name] for name in sorted(found)])

    def on_refs(self, request: Request, kind: str, name: str) -> Response:
        branches = [
            {"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": oid}
            for branch, oid in self._repository(request, kind, name).branches.items()
        ]
        return Response.json({"branches": branches, "tags": [], "converts": [], "pullRequests": []})

    def on_add_branch(self, request: Request, kind: str, name: str, revision: str) -> Response:
        repository = self._repository(request, kind, name, write=True)
        if revision in repository.branches:
            raise Refusal(409, f"Reference already exists: {revision}")
        start = json.loads(request.body or b"{}").get("startingPoint") or "main"
        repository.branches[revision] = repository.commit(start).oid
        return Response.json({})

    # How files come in.

    def on_preupload(self, request: Request, kind: str, name: str, revision: str) -> Response:
        repository = self._repository(request, kind, name, write=True)
        there = repository.commit(revision).files
        files = []
        for file in json.loads(request.body)["files"]:
            sample = base64.b64decode(file.get("sample", ""))
            lfs = self.store.is_lfs(repository, revision, file["path"], file["size"], sample)
            known = there.get(file["path"])
            oid = known.etag if known and known.lfs == lfs else None
            mode = {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            files.append({"path": file["path"], "oid": oid, **mode})
        return Response.json({"files": files})

    def on_lfs_batch(self, request: Request, kind: str | None, name: str) -> Response:
        kind = kind or "models"
        repository = self._repository(request, kind, name, write=True)
        asked = json.loads(request.body)["objects"]
        new = [o for o in asked if not self.store.object_path(o["oid"]).exists()]
        self.store.check_quota(repository, [Blob(o["oid"], o["size"], "", True) for o in new])
        objects = []
        for item in asked:
            found: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
            if item in new:
                place = f"{item['oid']}/{item['size']}"
                upload = f"{self.storage}/lfs/{place}/{self.sign(f'put {place}')}"
                found["actions"] = {"upload": {"href": upload}}
            objects.append(found)
        return Response.json({"transfer": "basic", "objects": objects})

    def on_lfs_upload(self, request: Request, oid: str, size: str, signature: str) -> Response:
        if signature != self.sign(f"put {oid}/{size}"):
            raise Refusal(403, "the signature is wrong")
        if len(request.body) != int(size) or hashlib.sha256(request.body).hexdigest() != oid:
            raise Refusal(400, "the content is not what was announced")
        self.store.put(request.body)
        return Response(b"", headers={"ETag": f'"{oid}"'})

    def on_commit(self, request: Request, kind: str, name: str, revision: str) -> Response:
        repository = self._repository(request, kind, name, write=True)
        store, header = self.store, {}
        added: dict[str, Blob] = {}
        removed: set[str] = set()
        for line in request.body.splitlines():
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
        url = f"{self.url}/{prefix}{name}/commit/{commit.oid}"
        return Response.json(
            {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""}
        )

    # How files go out.

    def on_resolve(
        self, request: Request, kind: str | None, name: str, revision: str, path: str
    ) -> Response:
        commit = self._repository(request, kind or "models", name).commit(revision)
        blob = commit.files.get(path)
        headers = {"X-Repo-Commit": commit.oid}
        if blob is None:
            raise Refusal(404, f"Entry not found: {path}", "EntryNotFound", _headers=headers)
        if not blob.lfs:
            headers |= {"ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
            content = self.store.object_path(blob.sha256).read_bytes()
            return Response(content, "text/plain; charset=utf-8", headers=headers)
        signature = self.sign(f"get {blob.sha256}")
        headers |= {
            "X-Linked-Etag": f'"{blob.etag}"',
            "X-Linked-Size": str(blob.size),
            "Location": f"{self.storage}/lfs/{blob.sha256}/{signature}",
        }
        return Response(b"Found. Redirecting", "text/plain", 302, headers)

    def on_lfs_download(self, request: Request, oid: str, signature: str) -> Response:
        path = self.store.object_path(oid)
        if signature != self.sign(f"get {oid}") or not path.exists():
            raise Refusal(403, "the signature is wrong")
        headers = {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"}
        return Response(path.read_bytes(), headers=headers)

    # What these share.

    def _user(self, request: Request, needed: bool = False) -> str | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if token and token not in self.users:
            raise Refusal(401, "Invalid credentials in Authorization header")
        if needed and not token:
            raise Refusal(401, "Invalid username or password.")
        return self.users.get(token)

    def _repository(
        self, request: Request, kind: str, name: str, write: bool = False
    ) -> Repository:
        user = self._user(request)
        repository = self.store.repositories.get((kind, name))
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
        entry: dict[str, Any] = {"path": path, "size": blob.size, "oid": blob.git_oid}
        if sibling:
            entry["blobId"] = blob.git_oid
        if blob.lfs:
            lfs = {"oid": blob.sha256, "sha256": blob.sha256, "size": blob.size}
            entry["lfs"] = {**lfs, "pointerSize": 130}
        return entry

    def _card(self, commit: Commit) -> dict[str, Any]:
        blob = commit.files.get("README.md")
        if blob is None:
            return {}
        text = self.store.object_path(blob.sha256).read_text(encoding="utf-8")
        return front_matter(text) or {}


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
