"""Finding and counting the files of original data sets, and reading them when asked for."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.components._folders import (
    by_class,
    expect,
    files,
    fingerprint,
    lazy,
    needed,
    nested,
    original,
    stored,
)
from pytest_aibench.datasets import Dataset, get
from pytest_aibench.datasets.base import folder_of, mounting
from pytest_aibench.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.JPG", "b/1.jpg", "a/3.png", "a/notes.txt", "c/4.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "license.txt").write_text("")
    return tmp_path


def test_files_are_in_the_order_of_their_names(folder: Path) -> None:
    assert [path.name for path in files(folder / "b", ".jpg")] == ["1.jpg", "2.JPG"]
    assert files(folder / "a", ".jpg") == []


def test_classes_are_in_the_order_of_their_folders(folder: Path) -> None:
    paths, classes = by_class(folder, ".jpg", ".png")
    assert [path.name for path in paths] == ["3.png", "1.jpg", "2.JPG", "4.jpg"]
    assert classes.tolist() == [0, 1, 1, 2]


def test_files_at_any_depth_are_in_the_order_of_their_names(folder: Path) -> None:
    found = nested(folder, ".jpg", ".txt")
    names = [os.fsdecode(name) for name in found]
    expected = ("a/notes.txt", "b/1.jpg", "b/2.JPG", "c/4.jpg", "license.txt")
    assert names == [str(folder / name) for name in expected]
    assert nested(folder / "a", ".jpg").tolist() == []
    with pytest.raises(UserError, match=f"^{folder / 'd'} is missing: put it there as "):
        nested(folder / "d", ".jpg")


def test_a_folder_that_is_missing(folder: Path) -> None:
    assert needed(folder / "a") == folder / "a"
    with pytest.raises(UserError) as error:
        files(folder / "d", ".jpg")
    assert str(error.value) == (
        f"{folder / 'd'} is missing: put it there as docs/original-data.md describes"
    )


@pytest.mark.parametrize("error", [EOFError("ended"), OSError("ended"), ValueError("ended")])
def test_what_a_loader_cannot_read_is_told_in_one_line(tmp_path: Path, error: Exception) -> None:
    @original("films", "Films")
    def load(folder: Path, split: str) -> Dataset:
        raise error if split == "train" else UserError("two films are missing")

    (tmp_path / "films").mkdir()
    with mounting(tmp_path):
        with pytest.raises(UserError) as told:
            get("films", "train")
        with pytest.raises(UserError, match=r"^two films are missing$"):
            get("films", "test")
    assert str(told.value) == (
        f"cannot read Films in {tmp_path / 'films'} ({type(error).__name__}: ended): put its "
        "files there again as docs/original-data.md describes"
    )


def test_a_folder_may_have_another_name(folder: Path) -> None:
    @original("letters", "Letters", folder="a")
    def load(place: Path, split: str) -> Dataset:
        raise UserError(f"{split} in {place}")

    assert folder_of("letters") == "a"
    with mounting(folder), pytest.raises(UserError, match=f"^train in {folder / 'a'}$"):
        get("letters", "train")


def test_counts(folder: Path) -> None:
    expect(3, 3, "photographs", folder)
    with pytest.raises(UserError) as error:
        expect(4, 3, "photographs", folder)
    assert str(error.value) == (
        f"{folder} has 4 photographs and should have 3: complete it as docs/original-data.md "
        "describes"
    )


def test_the_fingerprint_is_of_names_and_sizes(folder: Path, tmp_path: Path) -> None:
    paths = files(folder / "b", ".jpg")
    before = fingerprint(folder, paths)
    paths[0].write_text("B/1.jpg")
    assert fingerprint(folder, paths) == before
    assert fingerprint(folder, paths[:1]) != before
    assert fingerprint(folder / "b", paths) != before
    paths[0].write_text("longer than before")
    assert fingerprint(folder, paths) != before


def damaged(path: Path) -> None:
    np.savez_compressed(path, frames=np.arange(1000))
    content = bytearray(path.read_bytes())
    content[100:110] = b"0123456789"
    path.write_bytes(content)


def without_its_end(path: Path) -> None:
    np.savez(path, frames=np.arange(1000))
    path.write_bytes(path.read_bytes()[:-30])


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def objects(path: Path) -> None:
    np.savez(path, frames=np.array([None]))


@pytest.mark.parametrize(
    "write",
    [
        damaged,
        without_its_end,
        one_array,
        objects,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("<!doctype html>"),
        lambda path: path.write_bytes(b"PK\x03\x04"),
    ],
)
def test_arrays_that_cannot_be_read_are_named(
    write: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "7.npz"
    write(path)
    with pytest.raises(
        UserError, match=f"^{path} is no NPZ file, or damaged \\([^\n]+\\): put it there again$"
    ):
        stored(path, ["frames"])


def test_arrays_by_name(tmp_path: Path) -> None:
    path = tmp_path / "7.npz"
    np.savez(path, frames=np.arange(3), other=np.arange(4))
    found = stored(path, ["frames", "absent"])
    assert {name: array.tolist() for name, array in found.items()} == {"frames": [0, 1, 2]}


def test_lazy_samples_are_read_each_time(folder: Path) -> None:
    path = folder / "numbers.txt"
    path.write_text("1 2 3")
    samples = pickle.loads(pickle.dumps(lazy([path, path], partial(np.loadtxt, ndmin=1), "abc")))
    assert (len(samples), samples.fingerprint) == (2, "abc")
    assert samples[1].tolist() == [1, 2, 3]
    path.write_text("4")
    assert [sample.tolist() for sample in samples] == [[4], [4]]
