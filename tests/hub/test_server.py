"""Local Hub: its answers to the real client, and its statement that it is not the Hub."""

import hashlib
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from server import NOT_THE_HUB

LARGE = os.urandom(300_000)
FILES = {"README.md": b"---\nlicense: apache-2.0\n---\n", "a/b.txt": b"some text", "w.bin": LARGE}


@pytest.fixture
def api(local_hub):
    return HfApi(endpoint=local_hub.url, token="hf_ada")


def commit(api, name="ada/thing", repo_type="model", files=FILES, **more):
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    return api.create_commit(
        name, operations, commit_message="Add", repo_type=repo_type, **more
    ).oid


@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
def test_what_goes_in_comes_out(api, repo_type, tmp_path):
    sdk = {"space_sdk": "gradio"} if repo_type == "space" else {}
    card = b"---\nsdk: gradio\n---\n" if repo_type == "space" else FILES["README.md"]
    files = {**FILES, "README.md": card}
    url = api.create_repo("ada/thing", repo_type=repo_type, **sdk)
    assert url.repo_id == "ada/thing"
    oid = commit(api, repo_type=repo_type, files=files)
    folder = Path(snapshot_download("ada/thing", repo_type=repo_type))
    assert folder.name == oid
    for path, content in files.items():
        assert (folder / path).read_bytes() == content
    info = api.repo_info("ada/thing", repo_type=repo_type, files_metadata=True)
    assert info.sha == oid
    large = next(file for file in info.siblings if file.rfilename == "w.bin")
    assert large.lfs.sha256 == hashlib.sha256(LARGE).hexdigest()
    listed = {item.path: item for item in api.list_repo_tree("ada/thing", repo_type=repo_type)}
    assert set(listed) == {".gitattributes", "README.md", "a", "w.bin"}
    assert "a/b.txt" in api.list_repo_files("ada/thing", repo_type=repo_type)
    # Large files come by a redirect, in the range that is asked for.
    system = HfFileSystem(endpoint=api.endpoint, token="hf_ada")
    prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}[repo_type]
    with system.open(f"{prefix}ada/thing/w.bin", "rb") as file:
        file.seek(1000)
        assert file.read(50) == LARGE[1000:1050]


def test_revisions(api):
    api.create_repo("ada/thing")
    first = commit(api)
    api.create_branch("ada/thing", branch="trial/one")
    second = commit(api, files={"a/b.txt": b"other"}, revision="trial/one")
    third = api.create_commit(
        "ada/thing",
        [CommitOperationDelete("a/b.txt")],
        commit_message="Remove",
        parent_commit=first,
    ).oid
    read = {
        revision: Path(hf_hub_download("ada/thing", "a/b.txt", revision=revision)).read_bytes()
        for revision in ("trial/one", first, second)
    }
    assert read == {
        "trial/one": b"other",
        first: b"some text",
        second: b"other",
    }
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download("ada/thing", "a/b.txt")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("ada/thing", "a/b.txt", revision="v2")
    with pytest.raises(HfHubHTTPError, match="A commit has happened since"):
        commit(api, files={"c.txt": b"late"}, parent_commit=first)
    refs = api.list_repo_refs("ada/thing")
    assert {r.name: r.target_commit for r in refs.branches} == {"main": third, "trial/one": second}


def test_who_may(api, local_hub):
    api.create_repo("ada/secret", private=True)
    commit(api, "ada/secret")
    assert api.whoami()["name"] == "ada"
    for token in ("hf_bob", False):
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download("ada/secret", "w.bin", token=token)
    assert Path(hf_hub_download("ada/secret", "w.bin", token="hf_ada")).read_bytes() == LARGE
    with pytest.raises(HfHubHTTPError, match="Invalid"):
        HfApi(endpoint=local_hub.url, token="hf_nobody").whoami()
    with pytest.raises(HfHubHTTPError, match="rights to create"):
        api.create_repo("bob/theirs")
    with pytest.raises(HfHubHTTPError, match="already created"):
        api.create_repo("ada/secret")
    other = HfApi(endpoint=local_hub.url, token="hf_bob")
    api.create_repo("ada/open")
    with pytest.raises(HfHubHTTPError, match="403"):
        commit(other, "ada/open")


def test_bad_cards_are_refused(api):
    api.create_repo("ada/thing")
    bad = b"---\nmodel-index:\n- name: x\n  results:\n  - task: {type: retrieval}\n---\n"
    with pytest.raises(ValueError, match=r"results\[0\].dataset.type"):
        commit(api, files={"README.md": bad})
    api.create_repo("ada/page", repo_type="space", space_sdk="gradio")
    card = b"---\nsdk: gradio\ncolorFrom: teal\n---\n"
    with pytest.raises(ValueError, match="colorFrom"):
        commit(api, "ada/page", "space", {"README.md": card})


def test_it_says_what_it_is(hub_server, tmp_path):
    with urllib.request.urlopen(hub_server.url) as answer:
        assert answer.read().decode() == NOT_THE_HUB
        assert "not the Hugging Face Hub" in answer.headers["Server"]
    script = Path(__file__).with_name("server.py")
    command = [sys.executable, str(script), "--port", "0", "--root", str(tmp_path / "root")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url, words = process.stdout.readline().strip().split(": ", 1)
        assert words == NOT_THE_HUB
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        process.wait(10)


def test_long_listings_come_in_pages(api, monkeypatch):
    monkeypatch.setattr("server.PAGE", 7)
    api.create_repo("ada/thing")
    commit(api, files={f"f/{i:02}.txt": b"x" for i in range(20)})
    found = [f.path for f in api.list_repo_tree("ada/thing", recursive=True)]
    assert len(found) == 22
    assert len(set(found)) == 22
