"""Photographs in files, and what is cut out of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.components._images import Normalised, RandomCrops, middle, picture, resized
from pytest_aibench.errors import UserError
from tests.original.files import write_photograph


def test_a_picture_has_three_colours_whatever_the_file_has(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(path)
    assert picture(path).shape == (2, 3, 3)
    assert picture(path)[..., 1].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_text("no picture")
    with pytest.raises(UserError, match=rf"^{path} is no picture \(.*\): put it there again$"):
        picture(path)


def test_a_damaged_picture(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    Image.fromarray(np.arange(30_000, dtype=np.uint8).reshape(100, 100, 3)).save(path)
    content = path.read_bytes()
    for damaged in (content[:200], content.replace(b"IDAT", b"ID?T")):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"^{path} is no picture \(.*\): put it there again$"):
            picture(path)


def test_pictures_need_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(UserError) as error:
        picture(tmp_path / "any.jpg")
    assert str(error.value) == "photographs need Pillow: pip install 'pytest-aibench[suite]'"


@pytest.mark.parametrize(("width", "height"), [(30, 20), (20, 30), (7, 9)])
def test_the_middle_is_cut_out(tmp_path: Path, width: int, height: int) -> None:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2, 1] = 255
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    cut = middle(path, scaled=20, side=8)
    assert cut.shape == (3, 8, 8)
    assert cut.dtype == np.uint8
    assert cut[1, 4, 4] == 255
    assert cut[0].max() == 0


def test_resizing_an_area_keeps_its_mean(tmp_path: Path) -> None:
    pixels = picture(write_photograph(tmp_path / "noise.png", 64, 32))
    small = resized(pixels, 8, 16)
    assert small.shape == (8, 16, 3)
    assert abs(small.mean() - pixels.mean()) < 1


def test_bytes_become_numbers_of_the_models_precision() -> None:
    grey = torch.full((1, 3, 2, 2), 124, dtype=torch.uint8)
    numbers = Normalised()(grey)
    assert numbers.dtype == torch.float32
    assert numbers[0, :, 0, 0].tolist() == pytest.approx([0.0056, 0.1350, 0.3566], abs=1e-3)
    assert Normalised().to(torch.bfloat16)(grey).dtype == torch.bfloat16
    assert Normalised().state_dict() == {}


def test_crops_show_a_part_and_half_of_them_the_other_way_round() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(64, dtype=torch.uint8).expand(400, 1, 64, 64)
    crops = RandomCrops(16)(ramp)
    assert crops.shape == (400, 1, 16, 16)
    assert 0 <= crops.min() < 2 < 61 < crops.max() <= 63
    steps = crops[:, 0, 8].diff(dim=1).mean(dim=1)
    assert 0.4 < (steps > 0).float().mean() < 0.6
    widths = steps.abs() * 16 / 64
    assert 0.2 < widths.min() < 0.4 < 0.95 < widths.max() <= 1.0
