"""Atomic writes: replacing, recovering, cleaning up, devices, pipes and links."""

import errno
import os
import threading
from pathlib import Path

import pytest

from hf_specclip import storage
from hf_specclip.storage import (
    DiskError,
    atomic_file,
    atomic_folder,
    exclusive,
    recover_folder,
    remove_partial,
    replace_folder,
    write_text,
)


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "file").write_text(text)
    return path


@pytest.fixture(params=["exchange", "two steps"])
def system(request, monkeypatch):
    if request.param == "two steps":
        monkeypatch.setattr(storage, "_exchange", lambda one, other: False)


def test_a_replaced_folder_is_never_absent(system, tmp_path, monkeypatch):
    target, new = folder(tmp_path / "index", "old"), folder(tmp_path / "new", "new")
    steps = []
    rename = Path.replace

    def killed_after_one_step(path, other):
        if steps:
            raise KeyboardInterrupt
        steps.append(other)
        return rename(path, other)

    monkeypatch.setattr(Path, "replace", killed_after_one_step)
    try:
        replace_folder(new, target)
    except KeyboardInterrupt:
        monkeypatch.undo()
        remove_partial(tmp_path)  # what training does at its next start
        assert (target / "file").read_text() == "old"
        with atomic_folder(target) as partial:
            (partial / "file").write_text("new")
    assert (target / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "new") == ["index"]


def test_the_exchange_is_one_step_here(tmp_path):
    target, new = folder(tmp_path / "index", "old"), folder(tmp_path / "new", "new")
    if not storage._exchange(new, target):
        pytest.skip("this file system cannot")
    assert (new / "file").read_text() == "old"
    assert (target / "file").read_text() == "new"


def test_what_stepped_aside_goes_once_the_new_one_is_there(tmp_path):
    folder(tmp_path / ".replaced-index", "old")
    target = folder(tmp_path / "index", "new")
    recover_folder(target)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_leftovers_of_dead_writers_go_and_those_of_others_stay(tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    dead = tmp_path / f".partial-{child}-abcd-out.json"
    alive = tmp_path / f".partial-{os.getpid()}-abcd-out.json"
    young = tmp_path / f".partial-{child}-ef01-out.json"
    for path in (dead, alive, young):
        path.write_text("half")
    for path in (dead, alive):
        os.utime(path, (0, 0))
    write_text(tmp_path / "out.json", "whole")
    assert not dead.exists()
    assert alive.exists()
    assert young.exists()


def test_links_are_followed_and_pipes_and_devices_written_into(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "real" / "file.txt")
    write_text(link, "through the link")
    assert link.is_symlink()
    assert (tmp_path / "real" / "file.txt").read_text() == "through the link"

    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "through the pipe")
    reader.join(timeout=10)
    assert received == ["through the pipe"]
    assert pipe.is_fifo()
    write_text("/dev/null", "gone")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_a_full_disk_ends_with_a_sentence(write, tmp_path):
    with pytest.raises(DiskError, match="is full: make room"), write(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_one_process_at_a_time(tmp_path):
    order = []

    def second():
        with exclusive(tmp_path / "index"):
            order.append("second")

    other = threading.Thread(target=second)
    with exclusive(tmp_path / "index"):
        other.start()
        other.join(timeout=0.2)
        order.append("first")
    other.join(timeout=10)
    assert order == ["first", "second"]
