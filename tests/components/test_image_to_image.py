"""C5, image-to-image translation: streets, networks, learner, and how answers are read."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from benchmarks.components.image_to_image import data
from benchmarks.components.image_to_image.learner import (
    CycleLearner,
    constant_then_falling,
    judgement_loss,
    translate,
)
from benchmarks.components.image_to_image.model import CycleGan, discriminator, generator
from benchmarks.components.image_to_image.palette import (
    BUILDING,
    CAR,
    PALETTE,
    ROAD,
    SKY,
    Labels,
    painted,
    read,
)
from benchmarks.components.image_to_image.photographs import photographs
from benchmarks.components.image_to_image.pictures import pictures
from benchmarks.components.image_to_image.pool import Pool
from benchmarks.components.image_to_image.predictor import LabelPredictor
from benchmarks.components.image_to_image.streets import SIZE, streets
from benchmarks.components.image_to_image.task import TASK, untranslated
from pytest_aibench.datasets import Dataset, get
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training.predictor import predict
from tests.components.batches import together_and_alone
from tests.resuming import goes_on_exactly

CPU = resolve("cpu")[0]


def accuracy(outputs: npt.NDArray[np.uint8], test: Dataset) -> float:
    figures = metric(TASK.metric)
    value = figures.estimate(figures.scores(list(outputs), test.references)).value
    assert value is not None
    return value


def drawn(n: int = 200) -> Labels:
    return streets(np.random.Generator(np.random.PCG64(9)), n)


def photographed(labels: Labels) -> npt.NDArray[np.float32]:
    return photographs(np.random.Generator(np.random.PCG64(9)), labels)


def test_training_has_photographs_and_labels_of_other_streets() -> None:
    train, test = get(data.NAME, "train"), get(data.NAME)
    assert train.samples.shape == train.references.shape == (400, 3, SIZE, SIZE)
    assert test.samples.shape == (200, 3, SIZE, SIZE)
    assert test.references.shape == (200, SIZE, SIZE)
    assert data.load("test").fingerprint == test.fingerprint
    maps = {labels.tobytes() for labels in read(train.references)}
    assert not any(labels.tobytes() in maps for labels in test.references)
    for images in (train.samples, train.references, test.samples):
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert images.max() <= 1


def edges(labels: Labels) -> npt.NDArray[np.bool_]:
    """Where the class is another one than in the next column."""
    found: npt.NDArray[np.bool_] = labels[:, :, 1:] != labels[:, :, :-1]
    return found


def contrast_at(places: npt.NDArray[np.bool_], images: npt.NDArray[np.float32]) -> float:
    """How much pixels of images differ from the next column, at these places and elsewhere."""
    change = np.abs(np.diff(images, axis=-1)).mean(axis=1)
    return float(change[places].mean() / change[~places].mean())


def test_photographs_show_their_labels_in_the_test_and_not_in_training() -> None:
    train, test = get(data.NAME, "train"), get(data.NAME)
    assert contrast_at(edges(test.references), test.samples) > 2
    assert contrast_at(edges(read(train.references)), train.samples) < 1.3


def test_no_class_is_rare_or_has_most_pixels() -> None:
    shares = np.bincount(get(data.NAME).references.ravel()) / get(data.NAME).references.size
    assert shares.shape == (len(PALETTE),)
    assert shares.min() > 0.05
    assert shares.max() < 0.3


def test_streets_are_laid_out_like_streets() -> None:
    labels = drawn()
    rows = np.broadcast_to(np.arange(SIZE)[:, np.newaxis], labels.shape)
    sky, building, road = (rows[labels == number].mean() for number in (SKY, BUILDING, ROAD))
    assert sky < building < road
    above = labels[:, :-1][labels[:, 1:] == SKY]
    assert not np.isin(above, (ROAD, CAR)).any(), "neither road nor cars are above the sky"


def test_light_differs_from_street_to_street() -> None:
    same = np.full((50, SIZE, SIZE), ROAD, dtype=np.uint8)
    brightness = photographed(same).mean(axis=(1, 2, 3))
    assert brightness.std() > 0.05


def test_pictures_of_labels_are_read_back() -> None:
    labels = drawn(20)
    pictures_of_labels = painted(labels)
    np.testing.assert_array_equal(
        pictures_of_labels[0, :, 5, 7] * 255, PALETTE[labels[0, 5, 7]].astype(np.float32)
    )
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, pictures_of_labels.shape)
    np.testing.assert_array_equal(read(pictures_of_labels + noise.astype(np.float32)), labels)


def test_read_takes_the_nearest_colour() -> None:
    colours = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    distances = [
        np.square(colours[0] - colour[:, np.newaxis, np.newaxis] / 255).sum(axis=0)
        for colour in PALETTE
    ]
    np.testing.assert_array_equal(read(colours)[0], np.argmin(distances, axis=0))


def test_target_beats_all_trivial_answers() -> None:
    train, test = get(data.NAME, "train"), get(data.NAME)
    maps = read(train.references)
    counts = np.stack([(maps == number).sum(axis=0) for number in range(len(PALETTE))])
    everywhere = np.full_like(test.references, counts.sum(axis=(1, 2)).argmax())
    by_pixel = np.broadcast_to(counts.argmax(axis=0), test.references.shape)
    nothing_done = accuracy(np.stack(untranslated(train, test)), test)
    assert TASK.baseline_quality().value == nothing_done == pytest.approx(0.434, abs=5e-4)
    assert accuracy(by_pixel, test) == pytest.approx(0.432, abs=5e-4)
    assert accuracy(everywhere, test) == pytest.approx(0.247, abs=5e-4)
    assert TASK.target > nothing_done + 0.2


def test_translations_have_the_size_of_their_photographs() -> None:
    model = CycleGan(width=4, halvings=2, blocks=1, kernel=3, judge_halvings=2)
    photos = torch.rand(2, 3, 16, 24)
    labels = model(photos)
    assert labels.shape == photos.shape
    assert labels.min() >= 0
    assert labels.max() <= 1
    assert model.to_photos(labels).shape == photos.shape
    torch.testing.assert_close(model(photos[:1]), labels[:1], msg="others are in its norm")


def test_networks_have_the_layers_of_the_paper() -> None:
    convolutions = [
        module.out_channels
        for module in generator(64, 2, 9, 7).modules()
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    assert convolutions == [64, 128, 256, *[256] * 18, 128, 64, 3]
    judged = [layer for layer in discriminator(64, 3) if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in judged] == [64, 128, 256, 512, 1]


@pytest.mark.parametrize(("halvings", "pixels"), [(1, 16), (2, 34), (3, 70)])
def test_judgement_sees_a_patch(halvings: int, pixels: int) -> None:
    judge = discriminator(2, halvings)
    without_norm = nn.Sequential(
        *[layer for layer in judge if not isinstance(layer, nn.InstanceNorm2d)]
    )
    image = torch.rand(1, 3, 160, 160, requires_grad=True)
    judgements = without_norm(image)
    middle = judgements.shape[-1] // 2
    (slope,) = torch.autograd.grad(judgements[0, 0, middle, middle], image)
    seen = slope[0].abs().sum(dim=0).nonzero()
    assert (seen.amax(dim=0) - seen.amin(dim=0) + 1).tolist() == [pixels, pixels]


class ByBrightness(nn.Module):
    """A judge of one patch."""

    def forward(self, images: Tensor) -> Tensor:
        """Brightness of each image."""
        return images.mean(dim=(1, 2, 3))


@pytest.mark.parametrize(
    ("real", "fake", "loss"), [(1.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.5, 0.5, 0.25)]
)
def test_judgement_loss_is_least_squares(real: float, fake: float, loss: float) -> None:
    images = [torch.full((2, 3, 4, 4), value) for value in (real, fake)]
    assert judgement_loss(ByBrightness(), *images).item() == pytest.approx(loss)


class Brighter(nn.Module):
    """Adds so much to each pixel."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, images: Tensor) -> Tensor:
        """The images, brighter."""
        return images + self.amount


def test_translation_has_cycle_and_identity_loss_and_is_judged() -> None:
    source, target = torch.rand(2, 3, 4, 4).clamp(max=0.5), torch.rand(2, 3, 4, 4)
    translation = translate(source, target, Brighter(0.2), Brighter(-0.1), ByBrightness())
    cycle, identity = 0.2 - 0.1, 0.2
    assert torch.equal(translation.drawn, source + 0.2)
    assert translation.lost.item() == pytest.approx(10 * cycle + 5 * identity, rel=1e-5)
    judged = (source + 0.2).mean(dim=(1, 2, 3))
    assert translation.unlike.item() == pytest.approx(torch.square(1 - judged).mean().item())


def test_pool_gives_earlier_pictures_back_in_place_of_half_of_the_new() -> None:
    random.seed(0)
    pool = Pool(3)
    pictures = torch.arange(200.0).view(200, 1, 1, 1)
    shown = [int(pool.exchanged(picture[None])) for picture in pictures]
    assert shown[:3] == [0, 1, 2]
    earlier = [number for place, number in enumerate(shown) if number != place]
    assert 70 < len(earlier) < 130
    assert all(number <= place for place, number in enumerate(shown))
    assert len(set(earlier)) == len(earlier)


def test_pool_goes_on_with_the_pictures_it_had() -> None:
    pictures = torch.rand(40, 3, 2, 2)
    pool, other = Pool(3), Pool(3)
    pool.exchanged(pictures[:20])
    other.load_state_dict({"kept": [picture.clone() for picture in pool.state_dict()["kept"]]})
    shown = []
    for one in (pool, other):
        random.seed(0)
        shown.append(one.exchanged(pictures[20:]))
    assert torch.equal(*shown)


def test_pool_without_room_gives_all_pictures_back_as_they_are() -> None:
    state = random.getstate()
    pictures = torch.rand(4, 3, 2, 2)
    assert torch.equal(Pool(0).exchanged(pictures), pictures)
    assert random.getstate() == state


def test_learning_rate_is_constant_then_falls_to_nothing() -> None:
    shares = [constant_then_falling(step, 8) for step in range(9)]
    assert shares == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]


def small() -> CycleGan:
    torch.manual_seed(0)
    return CycleGan(width=4, halvings=1, blocks=1, kernel=3, judge_halvings=1)


def weights(module: nn.Module) -> list[list[float]]:
    return [values.flatten().tolist() for values in module.parameters()]


def test_all_four_networks_learn_at_each_step() -> None:
    model = small()
    learner = CycleLearner(model, 10)
    photos, labels = torch.rand(2, 4, 3, 16, 16)
    for _ in range(2):
        before = {name: weights(network) for name, network in model.named_children()}
        loss = learner.step(photos, labels)
        assert loss.shape == ()
        assert not loss.requires_grad
        assert all(weights(network) != before[name] for name, network in model.named_children())
    assert all(values.requires_grad for values in model.parameters())


def test_nothing_is_learnt_when_the_rates_have_fallen() -> None:
    model = small()
    learner = CycleLearner(model, 2)
    photos, labels = torch.rand(2, 4, 3, 16, 16)
    for _ in range(2):
        learner.step(photos, labels)
    before = weights(model)
    learner.step(photos, labels)
    assert weights(model) == before


def test_learning_goes_on_where_it_was_interrupted() -> None:
    photos, labels = torch.rand(2, 4, 3, 16, 16)
    goes_on_exactly(small, CycleLearner, (photos, labels), n_before=7)


def test_networks_come_to_keep_pictures() -> None:
    model = small()
    learner = CycleLearner(model, 1000)
    test = get(data.NAME)
    photos = torch.from_numpy(test.samples[:4])
    labels = torch.from_numpy(painted(test.references[4:8]))
    losses = [learner.step(photos, labels).item() for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]


def test_answers_do_not_depend_on_their_batch() -> None:
    predictor = LabelPredictor(TASK.build(), CPU, "fp32")
    answers = together_and_alone(predictor, get(data.NAME).samples[:6])
    together, alone = map(np.stack, answers)
    assert together.shape == (6, SIZE, SIZE)
    assert together.dtype == np.uint8
    assert (together == alone).mean() > 0.999


def test_an_answer_is_what_its_translation_shows() -> None:
    class Painter(nn.Module):
        """Translates as well as can be."""

        def forward(self, photos: Tensor) -> Tensor:
            return torch.from_numpy(painted(test.references[: len(photos)]))

    test = get(data.NAME)
    outputs = predict(LabelPredictor(Painter(), CPU, "fp32"), list(test.samples), len(test))
    assert accuracy(np.stack(outputs), test) == 1


def test_picture_has_photograph_translation_and_truth() -> None:
    test = get(data.NAME)
    picture = pictures(test, list(np.full_like(test.references, CAR)))
    cell = 3 * SIZE + 2
    photo, translated, true = (
        picture[0 : 3 * SIZE : 3, left : left + 3 * SIZE : 3] for left in (0, cell, 2 * cell)
    )
    np.testing.assert_array_equal(np.moveaxis(photo, -1, 0), (test.samples[0] * 255).round())
    assert (translated == PALETTE[CAR]).all()
    np.testing.assert_array_equal(true, PALETTE[test.references[0]])
