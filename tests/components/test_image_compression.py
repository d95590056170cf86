"""C12: patches of photographs, a recurrent codec, and the bits it sends."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.components._photos import PHOTOS
from benchmarks.components._pictures import as_bytes
from benchmarks.components.image_compression import data
from benchmarks.components.image_compression.augment import varied
from benchmarks.components.image_compression.bits import packed, signs, unpacked
from benchmarks.components.image_compression.model import Codec, RecurrentLayer, Sent, mixed
from benchmarks.components.image_compression.pictures import pictures
from benchmarks.components.image_compression.similarity import dissimilarity
from benchmarks.components.image_compression.task import BITS_PER_PIXEL, TASK, loss
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import cpu_threads
from pytest_aibench.training.predictor import predict

CPU = resolve("cpu")[0]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield


def test_patches_of_the_splits_are_of_other_photographs() -> None:
    assert set(data.TEST_PHOTOS) < {photo.name for photo in PHOTOS}
    train, test = data.load("train"), data.load("test")
    assert train.samples.shape == (2400, 3, 32, 32)
    assert test.samples.shape == (300, 3, 32, 32)
    assert test.samples.dtype == np.float32
    assert test.samples.max() <= 1
    assert (test.samples == test.references).all()
    assert data.load("test").fingerprint == test.fingerprint
    assert test.licence.startswith("CC0-1.0, CC-BY-2.0")
    assert "scikit-image" in test.source


def test_halved_photographs_have_the_means_of_four_pixels() -> None:
    photo = np.zeros((5, 4, 3), np.uint8)
    photo[:2, 2:] = [[[10, 20, 30], [30, 20, 10]]]
    halved = data._halved(photo)
    assert halved.shape == (2, 2, 3)
    assert halved[0, 1].tolist() == [20, 20, 20]
    assert halved[1].max() == 0


def test_a_recurrent_layer_remembers() -> None:
    torch.manual_seed(0)
    layer = RecurrentLayer(3, 8, stride=2, hidden_size=1)
    images = torch.rand(2, 3, 8, 8)
    first = layer(images, None)
    second = layer(images, first)
    assert first.hidden.shape == first.cell.shape == (2, 8, 4, 4)
    assert not torch.allclose(first.hidden, second.hidden)


def test_signs_pass_their_gradient_on() -> None:
    values = torch.tensor([-0.9, 0.0, 0.5], requires_grad=True)
    rounded = signs(values)
    assert rounded.tolist() == [-1, 1, 1]
    (gradient,) = torch.autograd.grad(rounded.sum(), values)
    assert gradient.tolist() == [1, 1, 1]


def test_bits_are_packed_as_numpy_packs_them() -> None:
    torch.manual_seed(0)
    bits = torch.rand(3, 2, 4, 5) < 0.5
    expected = np.packbits(bits.flatten(1).numpy(), axis=1)
    np.testing.assert_array_equal(packed(bits).numpy(), expected)
    assert (unpacked(packed(bits)) == bits.flatten(1)).all()


@pytest.fixture
def codec() -> Codec:
    torch.manual_seed(0)
    return Codec().eval()


@torch.no_grad()
def test_nothing_but_the_bytes_is_needed_to_decompress(codec: Codec) -> None:
    images = torch.rand(2, 3, 32, 48) / 4 + 0.4
    sent = codec.compress(images)
    assert sent.dtype == torch.uint8
    assert sent[0].numel() * 8 == BITS_PER_PIXEL * 32 * 48
    arrived = codec.decompress(sent, 32, 48)
    added = images - codec(images).missing[:, -1]
    torch.testing.assert_close(arrived, added.clamp(0, 1))


@torch.no_grad()
def test_a_shorter_transmission_is_the_beginning_of_a_longer_one(codec: Codec) -> None:
    images = torch.rand(2, 3, 32, 32)
    whole = codec.compress(images)
    codec.passes = 2
    assert (codec.compress(images) == whole[:, :32]).all()


@torch.no_grad()
def test_what_is_missing_is_enlarged_before_later_passes(codec: Codec) -> None:
    seen: list[float] = []
    codec.decoder.last.weight.zero_()
    codec.encoder.first.register_forward_pre_hook(
        lambda layer, inputs: seen.append(float(inputs[0].max()))
    )
    codec(torch.full((1, 3, 8, 8), 0.75))
    assert seen == pytest.approx([0.25, 0.5, 0.75, 1.0])


@torch.no_grad()
def test_brightness_is_apart_from_colours(codec: Codec) -> None:
    grey = torch.full((1, 3, 2, 2), 0.2)
    torch.testing.assert_close(mixed(grey, codec.mix)[0, :, 0, 0], torch.tensor([0.2, 0, 0]))
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(mixed(mixed(images, codec.mix), codec.unmix), images)


def test_images_are_turned_and_faded() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 4, 4)
    corners, shares = set(), []
    for _ in range(40):
        changed = varied(images)
        corners.add(round(float(changed.mean(1)[0, 0, 0]), 4))
        shares.append(colourfulness(changed) / colourfulness(images))
    assert corners == {round(float(images[0, :, y, x].mean()), 4) for y in (0, 3) for x in (0, 3)}
    of_each = torch.stack(shares)
    assert 0.3 <= of_each.min() < 0.4
    assert 0.9 < of_each.max() <= 1
    assert (of_each[:, 0] - of_each[:, 1]).abs().mean() > 0.1


def colourfulness(images: Tensor) -> Tensor:
    return (images - images.mean(1, keepdim=True)).abs().sum((1, 2, 3))


def test_unlikeness_is_what_the_metric_lacks() -> None:
    torch.manual_seed(0)
    images = torch.tensor(data.load("test").samples[:20])
    for noise in (0, 0.02, 0.05):
        others = images + noise * torch.randn_like(images)
        worth = metric("ms_ssim").scores(list(others.numpy()), images.numpy()).mean()
        assert 1 - float(dissimilarity(images, others).mean()) == pytest.approx(worth, abs=0.01)


class Tinting(nn.Module):
    """Loses a colour from images, in each of two passes."""

    def __init__(self, *tint: float) -> None:
        super().__init__()
        self.tint = torch.tensor(tint).reshape(3, 1, 1)

    def forward(self, images: Tensor) -> Sent:
        """The same is missing of all images after each pass."""
        missing = self.tint.expand(len(images), 2, *images.shape[1:])
        return Sent(torch.ones(len(images), 2, 1), missing)


def test_a_lost_colour_costs_more_than_lost_brightness() -> None:
    images = torch.tensor(data.load("train").samples[:4])
    brightness = float(loss(Tinting(0.04, 0.04, 0.04), images, images))
    colour = float(loss(Tinting(0.06, 0.0, -0.06), images, images))
    assert 0.02 < brightness < colour - 0.1
    assert float(loss(Tinting(0.0, 0.0, 0.0), images, images)) == pytest.approx(0, abs=1e-5)


def test_gradients_reach_all_weights() -> None:
    torch.manual_seed(0)
    model = TASK.build().train()
    torch.autograd.backward(model(torch.rand(2, 3, 32, 32)).missing.abs().mean())
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    learner = TASK.learner(TASK.build().train(), 16)
    images = torch.tensor(data.load("train").samples[:8])
    losses = [float(learner.step(images, images)) for _ in range(16)]
    assert losses[-1] < 0.9 * losses[0]


def test_answers_do_not_depend_on_the_batch(codec: Codec) -> None:
    predictor = TASK.predictor(codec, CPU, "fp32")
    samples = list(data.load("test").samples[:4])
    together, apart = predict(predictor, samples, 4), predict(predictor, samples, 1)
    np.testing.assert_allclose(together, apart, atol=1e-4)


def test_the_original_is_best_and_the_baseline_below_the_target() -> None:
    train, test = data.load("train"), data.load("test")
    similarity = metric(TASK.metric)
    assert similarity.better == "higher"
    original = similarity.estimate(similarity.scores(list(test.samples), test.references))
    assert original.value == pytest.approx(1)
    blocks = TASK.baseline.answer(train, test)
    worth = similarity.estimate(similarity.scores(blocks, test.references)).value
    assert worth is not None
    assert worth < TASK.target - 0.1


def test_blocks_take_as_many_bits_as_the_codec() -> None:
    (blocks,) = TASK.baseline.answer(data.load("train"), data.load("test"))[:1]
    colours = np.unique(blocks.reshape(3, -1), axis=1).shape[1]
    assert 1 < colours <= 32
    assert BITS_PER_PIXEL * 32 * 32 == 32 * 16
    np.testing.assert_allclose(blocks[0] * 31, (blocks[0] * 31).round(), atol=1e-5)


def test_jpeg_at_the_same_bits_is_as_good_as_the_provenance_says() -> None:
    test = data.load("test")
    arrived, sizes = zip(*map(_through_jpeg, test.samples), strict=True)
    assert np.mean(sizes) * 8 / 32**2 == pytest.approx(0.49, abs=0.02)
    similarity = metric(TASK.metric)
    worth = similarity.estimate(similarity.scores(arrived, test.references)).value
    assert worth == pytest.approx(0.89, abs=0.01)
    assert "0.89 at 0.49" in TASK.provenance["jpeg"]


def _through_jpeg(image: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """What arrives of an image, and the bytes of its scan."""
    file = io.BytesIO()
    Image.fromarray(as_bytes(image.transpose(1, 2, 0))).save(file, "jpeg", quality=15)
    scan_header = file.getvalue().index(b"\xff\xda")
    header_bytes = 2 + int.from_bytes(file.getvalue()[scan_header + 2 : scan_header + 4], "big")
    end_bytes = 2
    size = len(file.getvalue()) - scan_header - header_bytes - end_bytes
    return np.asarray(Image.open(file)).transpose(2, 0, 1) / 255, size


def test_pictures_show_originals_above_what_arrives() -> None:
    test = data.load("test")
    sheet = pictures(test, [np.zeros((3, 32, 32))] * len(test))
    assert sheet.shape == (2 * 130 - 2, 12 * 130 - 2, 3)
    first = (test.samples[0, :, 0, 0] * 255).round()
    np.testing.assert_array_equal(sheet[0, 0], first)
    assert sheet[130, 0].tolist() == [0, 0, 0]
