"""C15 at full size: MNIST's files, a step and an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.components.spatial_transformer import FULL_TASK, original
from pytest_aibench.errors import UserError
from tests.original.files import after_a_step, answers, write_mnist

COUNTS = {"train": 4, "test": 2}


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    return write_mnist(tmp_path, train=4, test=2)


def test_scans_have_the_pixels_of_the_file(mnist: Path) -> None:
    data = original.load(mnist, "train", counts=COUNTS)
    assert data.samples.shape == (4, 1, 28, 28)
    assert data.samples.dtype == np.float32
    pixels = (mnist / "train-images-idx3-ubyte").read_bytes()[16:]
    back = (data.samples * 0.3081 + 0.1307) * 255
    np.testing.assert_allclose(back.ravel(), np.frombuffer(pixels, np.uint8), atol=1e-3)
    assert data.references.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"<!doctype html>", b"\0\0\x08\x03\0\0"])
def test_what_is_no_array_is_refused(mnist: Path, content: bytes) -> None:
    path = mnist / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{path} is no IDX file of bytes, or not all of it: "):
        original.load(mnist, "train", counts=COUNTS)


def test_what_is_missing_or_cut_off_is_named(mnist: Path) -> None:
    with pytest.raises(UserError, match=f"^{mnist} has 4 train scans and should have 60000: "):
        original.load(mnist, "train")
    path = mnist / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError) as error:
        original.load(mnist, "test", counts=COUNTS)
    assert str(error.value) == (
        f"{path} is no IDX file of bytes, or not all of it: put it there again"
    )
    path.unlink()
    with pytest.raises(UserError, match=f"^{path} is missing: put it there as "):
        original.load(mnist, "test", counts=COUNTS)


def test_a_step_and_an_answer(mnist: Path) -> None:
    model = after_a_step(FULL_TASK, original.load(mnist, "train", counts=COUNTS))
    outputs = answers(FULL_TASK, model, original.load(mnist, "test", counts=COUNTS))
    assert [output.shape for output in outputs] == [(10,)] * 2
