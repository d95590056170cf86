"""EfficientNet-Lite0: its architecture, its photographs, and its real weights where fetched."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.pretrained.efficientnet_lite0 import MODEL, data, model
from benchmarks.pretrained.efficientnet_lite0.model import Block, Convolution, EfficientNetLite0
from benchmarks.pretrained.efficientnet_lite0.serving import PhotoClassifier, normalised
from pytest_aibench.datasets import Carrier
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric


def published_name(name: str) -> str:
    *parts, parameter = name.split(".")
    return ".".join([*(part if part.isdigit() else f"_{part}" for part in parts), parameter])


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random ones under the published names."""
    torch.manual_seed(0)
    state_dict = EfficientNetLite0().state_dict()
    return {published_name(name): value for name, value in state_dict.items()}


def test_it_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        whole = EfficientNetLite0()
    assert sum(weight.numel() for weight in whole.parameters()) == 4_652_008
    assert whole(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)


def test_weights_are_taken_under_their_published_names(weights: dict[str, Tensor]) -> None:
    assert len(weights) == 296
    assert {"_conv_stem.weight", "_blocks.15._bn2.running_var", "_fc.bias"} <= weights.keys()
    loaded = model.from_published(weights)
    assert not loaded.training
    torch.testing.assert_close(loaded.fc.bias.detach(), weights["_fc.bias"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"_fc.bias": torch.zeros(999)}, "size mismatch for fc.bias"),
        ({"_more": torch.zeros(1)}, 'Unexpected key.* "more"'),
    ],
)
def test_other_weights_are_refused(
    weights: dict[str, Tensor], changed: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        model.from_published({**weights, **changed})


@pytest.mark.parametrize(
    ("size", "stride", "expected"),
    [
        (3, 1, [4.0, 6.0, 4.0]),  # one pixel on either side
        (4, 2, [9.0, 6.0]),  # one pixel at the end only
        (5, 2, [4.0, 6.0, 4.0]),
    ],
)
def test_padding_is_that_of_tensorflow(size: int, stride: int, expected: list[float]) -> None:
    convolution = Convolution(1, 1, 3, stride)
    nn.init.ones_(convolution.weight)
    ones = torch.ones(1, 1, size, size)
    assert convolution(ones)[0, 0, 0].tolist() == expected


@pytest.mark.parametrize(("stride", "channels", "is_residual"), [(1, 8, True), (1, 9, False)])
def test_a_block_adds_what_came_in(stride: int, channels: int, is_residual: bool) -> None:
    block = Block(8, model.Stage(1, 3, stride, 6, channels), stride).eval()
    nn.init.zeros_(block.bn2.weight)
    images = torch.rand(2, 8, 4, 4)
    expected = images if is_residual else torch.zeros(2, channels, 4, 4)
    torch.testing.assert_close(block(images).detach(), expected)


def test_photographs_are_shrunk_and_cut() -> None:
    photo = np.zeros((512, 1024, 3), np.uint8)
    photo[:, 512 - 224 : 512 + 224] = 200
    square = data.central_square(photo)
    assert square.shape == (224, 224, 3)
    assert (square[:, 5:-5] == 200).all()
    assert data.central_square(photo.transpose(1, 0, 2)).shape == (224, 224, 3)


def test_pixels_are_normalised() -> None:
    photo = np.zeros((2, 2, 3), np.uint8)
    photo[0, 1] = 255, 0, 51
    image = normalised(photo)
    assert image.shape == (3, 2, 2)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(image[:, 0, 1], expected, rtol=1e-5)


def test_photographs_come_with_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 400), (1, 2, 3)).save(file, "png")
    monkeypatch.setattr(Carrier, "read", lambda *_: file.getvalue())
    photos = data.load("test")
    assert photos.samples.shape == (6, 224, 224, 3)
    assert photos.samples.dtype == np.uint8
    assert photos.references.tolist() == [281, 657, 698, 872, 967, 652]
    assert (photos.samples[5] == (1, 2, 3)).all()
    assert "CC-BY-2.0" in photos.licence
    with pytest.raises(UserError) as error:
        data.load("train")
    assert str(error.value) == (
        "'efficientnet_lite0' has only the split 'test': it is not trained here"
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_answers_do_not_depend_on_the_batch(weights: dict[str, Tensor], precision: str) -> None:
    served = PhotoClassifier(model.from_published(weights), resolve("cpu")[0], precision)
    photos = list(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8))
    together = served.postprocess(served.infer(served.preprocess(photos)))
    for photo, answer in zip(photos, together, strict=True):
        (alone,) = served.postprocess(served.infer(served.preprocess([photo])))
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer, alone, atol=1e-2 * np.abs(alone).max())


@pytest.mark.usefixtures("fetched_efficientnet")
def test_the_published_weights_know_the_photographs() -> None:
    photos = data.load("test")
    served = MODEL.serve(resolve("cpu")[0], "fp32")
    answers = served.postprocess(served.infer(served.preprocess(list(photos.samples))))
    hits = {name: metric(name).scores(answers, photos.references).sum() for name in MODEL.targets}
    assert hits == {"top1": 5, "top5": 6}


@pytest.fixture
def fetched_efficientnet() -> None:
    MODEL.check_fetched()
