"""What looks whole is whole, whatever happens while it is written."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from sam_jax.storage import (
    UNFINISHED,
    atomic_file,
    atomic_folder,
    copy_file,
    files_together,
    have_same_content,
    make_folder,
    remove_leftovers,
    resumable_file,
    whole,
    write_json,
    write_text,
)
from sam_jax.types import InputError, RunError

NAME = "a file's näme with spaces"


def write_file(path, content):
    with atomic_file(path) as file:
        file.write(content)


def write_folder(path, content):
    with atomic_folder(path, "y", replaces=True) as folder:
        (folder / "x").write_bytes(content)
        (folder / "y").write_bytes(content)


def write_together(path, content):
    with files_together(path, "y") as folder:
        (folder / "x").write_bytes(content)
        (folder / "y").write_bytes(content)


WRITERS = {"file": write_file, "folder": write_folder, "together": write_together}


def read(path):
    """Content of a file, or of a folder's files, by name."""
    if path.is_dir():
        return {child.name: child.read_bytes() for child in path.iterdir()}
    return path.read_bytes()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_second_writing_replaces_the_first(tmp_path, write):
    write(tmp_path / NAME, b"one")
    write(tmp_path / NAME, b"two")
    assert read(tmp_path / NAME) == (b"two" if write is write_file else {"x": b"two", "y": b"two"})
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    "make", [atomic_file, partial(atomic_folder, last="x"), partial(files_together, last="x")]
)
def test_an_exception_leaves_no_trace(tmp_path, make, exists, error):
    path = tmp_path / NAME
    if exists:
        (write_file if make is atomic_file else write_together)(path, b"old")
    before = read(path) if exists else None

    def fail():
        with make(path) as new:
            if make is atomic_file:
                new.write(b"half")
            else:
                (new / "x").write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == ([NAME] if exists else [])
    assert not exists or read(path) == before


@pytest.mark.parametrize(
    "make", [partial(atomic_folder, last="x"), partial(files_together, last="x")]
)
def test_folders_above_are_made_and_vanish_with_a_failure(tmp_path, make):
    path = tmp_path / "some" / "where" / NAME
    with pytest.raises(ZeroDivisionError), make(path):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    with make(path) as folder:
        (folder / "x").touch()
    assert os.listdir(path) == ["x"]


def test_files_join_those_that_are_there(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"old")
    (tmp_path / "z").write_bytes(b"other")
    monkeypatch.chdir(tmp_path)
    write_together(Path(), b"new")
    assert read(tmp_path) == {"x": b"new", "y": b"new", "z": b"other"}


def test_a_folder_that_is_not_to_be_replaced(tmp_path):
    write_folder(tmp_path / NAME, b"old")
    with (
        pytest.raises(InputError, match=f"cannot write {tmp_path / NAME}: File exists"),
        atomic_folder(tmp_path / NAME, "x") as folder,
    ):
        (folder / "x").write_bytes(b"new")
    assert os.listdir(tmp_path) == [NAME]
    assert read(tmp_path / NAME) == {"x": b"old", "y": b"old"}


def test_texts(tmp_path):
    write_text(tmp_path / "a.txt", "naïve\n")
    assert (tmp_path / "a.txt").read_bytes() == b"na\xc3\xafve\n"
    write_json(tmp_path / "a.json", {"b": [1, None]})
    assert (tmp_path / "a.json").read_text() == '{"b": [1, null]}\n'


def test_names_as_long_as_a_disk_takes(tmp_path):
    name = "é" * 127
    write_text(tmp_path / name, "whole")
    assert os.listdir(tmp_path) == [name]


def test_permissions_are_those_of_any_new_file(tmp_path):
    write_text(tmp_path / "a", "")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode
    write_folder(tmp_path / "c", b"")
    (tmp_path / "d").mkdir()
    assert (tmp_path / "c").stat().st_mode == (tmp_path / "d").stat().st_mode


def test_copies(tmp_path):
    (tmp_path / "source").write_bytes(b"photo")
    (tmp_path / NAME).hardlink_to(tmp_path / "source")  # as earlier versions made them
    copy_file(tmp_path / "source", tmp_path / NAME)
    assert have_same_content(tmp_path / "source", tmp_path / NAME)
    (tmp_path / NAME).write_bytes(b"drawn over")
    assert (tmp_path / "source").read_bytes() == b"photo"
    assert not have_same_content(tmp_path / "source", tmp_path / NAME)
    assert not have_same_content(tmp_path / "source", tmp_path / "none")
    with pytest.raises(InputError, match="No such file"):
        copy_file(tmp_path / "none", tmp_path / "copy")
    assert sorted(os.listdir(tmp_path)) == sorted(["source", NAME])


def write_half(path):
    with resumable_file(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise ZeroDivisionError


def test_a_resumed_file_goes_on_where_it_stopped(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / NAME)
    assert not (tmp_path / NAME).exists()
    assert [path.read_bytes() for path in tmp_path.glob(UNFINISHED)] == [b"half"]
    with resumable_file(tmp_path / NAME) as path, path.open("ab") as file:
        file.write(b" and half")
    assert (tmp_path / NAME).read_bytes() == b"half and half"
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none/x", "No such file or directory"),
        ("file/x", "Not a directory"),
        ("folder", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_files_that_cannot_be(tmp_path, path, reason):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"cannot write {tmp_path / path}: {reason}$"):
        write_text(tmp_path / path, "")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.parametrize("write", [write_folder, write_together, lambda path, _: make_folder(path)])
@pytest.mark.parametrize("path", ["file", "file/x"])
def test_folders_that_cannot_be(tmp_path, write, path):
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match=f"cannot write {tmp_path / path}: (Not a dir|File exists)"
    ):
        write(tmp_path / path, b"")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").is_file()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk(tmp_path, full_disk, write, exists):
    if exists:
        write(tmp_path / NAME, b"old")
    before = read(tmp_path / NAME) if exists else None
    message = f"cannot write {tmp_path / NAME}: File too large; free some space and start again"
    with full_disk(), pytest.raises(RunError, match=message):
        write(tmp_path / NAME, bytes(100))
    assert os.listdir(tmp_path) == ([NAME] if exists else [])
    assert not exists or read(tmp_path / NAME) == before


def test_a_device_without_space(tmp_path, monkeypatch):
    (tmp_path / "full").symlink_to("/dev/full")
    monkeypatch.setattr(whole, "_name_unfinished", lambda path: tmp_path / "full")
    with pytest.raises(RunError, match=f"cannot write {tmp_path / NAME}: No space left on device"):
        write_text(tmp_path / NAME, "text")
    assert os.listdir(tmp_path) == []


def test_leftovers_are_removed_when_they_are_old(tmp_path, monkeypatch):
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / NAME)
    unfinished = tmp_path / "below" / ".photo masks.0123456789ab.unfinished"
    (unfinished / "deep").mkdir(parents=True)
    (unfinished / "deep" / "x").touch()
    (tmp_path / "whole.unfinished").touch()
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.rglob("*"))) == 6
    monkeypatch.setattr(whole, "_DEAD_AFTER_SECONDS", -1)
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["below", "whole.unfinished"]
    remove_leftovers(tmp_path / "no such folder")


KILLED = """
import sys, time
from pathlib import Path
from sam_jax.storage import atomic_file, atomic_folder, files_together

parent = Path(sys.argv[1])
with (
    atomic_file(parent / "file") as file,
    atomic_folder(parent / "folder", "x") as folder,
    files_together(parent / "together", "x") as together,
):
    file.write(bytes(2**20))
    (folder / "x").write_bytes(bytes(2**20))
    (together / "x").write_bytes(bytes(2**20))
    print("half", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_only_what_can_be_found(tmp_path, monkeypatch):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    left = sorted(tmp_path.iterdir())
    assert len(left) == 3
    assert left == sorted(tmp_path.glob(UNFINISHED))
    for what, write in WRITERS.items():
        write(tmp_path / what, b"whole")
    with atomic_file(tmp_path / "living") as file, atomic_folder(tmp_path / "alive", "x") as folder:
        monkeypatch.setattr(whole, "_LOCKED_AFTER_SECONDS", -1)
        remove_leftovers(tmp_path)
        assert len(list(tmp_path.glob(UNFINISHED))) == 2
        file.write(b"on")
        (folder / "x").touch()
    assert (tmp_path / "living").read_bytes() == b"on"
    shutil.rmtree(tmp_path / "alive")
    (tmp_path / "living").unlink()
    assert sorted(os.listdir(tmp_path)) == sorted(WRITERS)


def test_leftovers_of_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(whole, "_LOCKED_AFTER_SECONDS", -1)
    mine, other, resumable = (
        tmp_path / f".{name}.unfinished"
        for name in ("a[b].pth.0123456789ab", "a[b].pth.more.0123456789ab", "a[b].pth")
    )
    for path in (mine, other, resumable):
        path.touch()
    with atomic_file(tmp_path / "a[b].pth", is_durable=True) as file:
        file.write(b"weights")
    assert sorted(tmp_path.iterdir()) == sorted([other, resumable, tmp_path / "a[b].pth"])


def test_files_that_replace_an_earlier_set(tmp_path):
    for name in "abcd":
        (tmp_path / name).write_bytes(b"old")
    with files_together(tmp_path, "a", ["a", "b", "c", "gone"]) as folder:
        for name in "ab":
            (folder / name).write_bytes(b"new")
    assert read(tmp_path) == {"a": b"new", "b": b"new", "d": b"old"}


RACING = """
import sys
from pathlib import Path
from tests.storage.test_whole import WRITERS

letter, parent = sys.argv[1].encode(), Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    for what, write in WRITERS.items():
        write(parent / what, letter * 2**18)
"""


@pytest.mark.slow
def test_two_processes_that_write_the_same_never_mix(tmp_path):
    command = [sys.executable, "-c", RACING]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen([*command, letter, tmp_path], **pipes) for letter in "ab"]
    for process in processes:
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    seen = {name: set() for name in ("file", "folder/x", "folder/y", "together/x", "together/y")}
    while any(process.poll() is None for process in processes):
        for name, contents in seen.items():
            with contextlib.suppress(FileNotFoundError):
                contents.add((tmp_path / name).read_bytes())
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    for contents in seen.values():
        assert contents
        assert contents <= {b"a" * 2**18, b"b" * 2**18}
    assert sorted(os.listdir(tmp_path)) == sorted(WRITERS)


def test_names_with_a_null_character_are_refused(tmp_path):
    for write in (write_text, write_json):
        with pytest.raises(InputError, match="null character"):
            write(tmp_path / "a\0b", "x")
    assert os.listdir(tmp_path) == []
