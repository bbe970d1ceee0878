"""Repositories of the local Hub: contents on disk by their hash, commits and branches in memory."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

GITATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n"
    for pattern in ("*.safetensors", "*.parquet", "*.bin", "*.arrow", "*.npz", "*.gz", "*.pkl")
)
LFS_FROM_BYTES = 10_000_000


class Refusal(Exception):
    """An answer other than success: a status, the Hub's own code for it, and words."""

    def __init__(self, status: int, message: str, code: str | None = None, **more: Any):
        super().__init__(message)
        self.status, self.message, self.code, self.more = status, message, code, more


@dataclass(frozen=True)
class Blob:
    """A file of a commit."""

    sha256: str
    size: int
    git_oid: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


@dataclass
class Commit:
    """A state of the files."""

    oid: str
    date: str
    files: dict[str, Blob]


@dataclass
class Repository:
    """One model, dataset or Space: its commits and what its branches point at."""

    kind: str
    name: str
    private: bool
    created: str
    sdk: str | None = None
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.name.split("/")[0]

    def commit(self, revision: str) -> Commit:
        """Return the commit of a branch or a commit id."""
        oid = self.branches.get(revision) or revision
        if oid not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]


class HubStore:
    """All repositories under a folder.

    Args:
        root: where contents lie.
        quota: bytes that one owner may store, or None.
    """

    def __init__(self, root: Path, quota: int | None = None):
        self.root, self.quota = root, quota
        self.lock = threading.RLock()
        self.repositories: dict[tuple[str, str], Repository] = {}
        (root / "objects").mkdir(parents=True, exist_ok=True)

    def object_path(self, sha256: str) -> Path:  # the routes let hashes alone through
        return self.root / "objects" / sha256

    def put(self, content: bytes) -> Blob:
        """Keep some bytes."""
        sha256 = hashlib.sha256(content).hexdigest()
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        path = self.object_path(sha256)
        if not path.exists():
            path.write_bytes(content)
        return Blob(sha256, len(content), git, lfs=False)

    def create(self, kind: str, name: str, private: bool, sdk: str | None) -> Repository:
        if (kind, name) in self.repositories:
            raise Refusal(409, f"You already created this {kind[:-1]} repo: {name}")
        repository = Repository(kind, name, private, _now(), sdk)
        self.repositories[kind, name] = repository
        attributes = self.put(GITATTRIBUTES.encode())
        self.add_commit(repository, "main", "initial commit", {".gitattributes": attributes}, set())
        return repository

    def add_commit(
        self,
        repository: Repository,
        branch: str,
        title: str,
        added: Mapping[str, Blob],
        removed: set[str],
        parent: str | None = None,
    ) -> Commit:
        """One commit at the tip of a branch: `removed` names files, or folders with a final `/`."""
        tip = repository.branches.get(branch)
        if tip is None and repository.commits:
            raise Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        if parent is not None and parent != tip:
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[tip].files) if tip else {}
        for path in removed:
            gone = [name for name in files if f"{name}/".startswith(f"{path.strip('/')}/")]
            if not gone:
                raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for name in gone:
                del files[name]
        files |= added
        if tip is not None:
            self.check_quota(repository, files.values())
        body = json.dumps([tip, title, _now(), {n: b.sha256 for n, b in sorted(files.items())}])
        oid = hashlib.sha1(body.encode()).hexdigest()
        commit = Commit(oid, _now(), files)
        repository.commits[oid] = commit
        repository.branches[branch] = oid
        return commit

    def check_quota(self, repository: Repository, more: Any) -> None:
        """Refuse what would take an owner beyond the quota."""
        if self.quota is None:
            return
        stored = {
            blob.sha256: blob.size
            for other in self.repositories.values()
            if other.owner == repository.owner
            for commit in other.commits.values()
            for blob in commit.files.values()
        }
        stored |= {blob.sha256: blob.size for blob in more}
        if sum(stored.values()) > self.quota:
            raise Refusal(
                403,
                "Storage limit reached, please upgrade your plan to increase your storage limit. "
                "https://hf.co/docs/hub/storage-limits",
            )

    def is_lfs(self, repository: Repository, revision: str, path: str, size: int, sample: bytes):
        """Return True for a file that goes through LFS, by attributes, size or content."""
        blob = repository.commit(revision).files.get(".gitattributes")
        lines = self.object_path(blob.sha256).read_text().splitlines() if blob else []
        patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
        name = PurePosixPath(path).name
        matched = any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
        return matched or size > LFS_FROM_BYTES or b"\0" in sample


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
