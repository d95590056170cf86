"""C2, image generation: data, networks, learner, and the metric of patches."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import nn

from benchmarks.components.image_generation import TASK
from benchmarks.components.image_generation.data import NAME, load
from benchmarks.components.image_generation.learner import (
    CRITIC_STEPS,
    WassersteinLearner,
    gradient_penalty,
)
from benchmarks.components.image_generation.metric import PATCH, PROJECTIONS, patch_distances
from benchmarks.components.image_generation.model import convolutional_gan
from benchmarks.components.image_generation.pictures import pictures
from pytest_aibench.datasets import get
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import cpu_threads
from tests.components.batches import check_batches
from tests.resuming import goes_on_exactly


def test_latents_and_images_of_both_splits_are_others() -> None:
    train, test = get(NAME, "train"), get(NAME)
    assert train.samples.shape == (4000, 32)
    assert test.samples.shape == (400, 32)
    assert test.references.shape == (400, 1, 28, 28)
    assert train.fingerprint == load("train").fingerprint
    seen = {image.tobytes() for image in train.references}
    assert not any(image.tobytes() in seen for image in test.references)
    assert abs(train.samples.mean()) < 0.01
    assert not np.isin(test.samples[:, 0], train.samples[:, 0]).all()


def test_generator_draws_images_that_the_critic_takes() -> None:
    model = convolutional_gan()
    drawn = model(torch.randn(3, 32))
    assert drawn.shape == (3, 1, 28, 28)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert model.critic(drawn).shape == (3,)


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_gradient_penalty_of_a_known_slope(slope: float) -> None:
    plane = nn.Linear(9, 1)
    plane.weight.data = slope * _unit(9)
    critic = nn.Sequential(nn.Flatten(), plane, nn.Flatten(0))
    real, drawn = torch.rand(2, 5, 1, 3, 3)
    assert gradient_penalty(critic, real, drawn).item() == pytest.approx((slope - 1) ** 2, abs=1e-6)


def _unit(size: int) -> torch.Tensor:
    return nn.functional.normalize(torch.arange(1.0, size + 1)[None])


def test_critic_learns_at_each_step_and_the_generator_at_every_second() -> None:
    torch.manual_seed(0)
    model = convolutional_gan()
    learner = WassersteinLearner(model, 10)
    critic, generator = (_copy(part) for part in (model.critic, model.generator))
    latents, images = torch.zeros(4, 32), torch.rand(4, 1, 28, 28)
    for _ in range(CRITIC_STEPS):
        assert _copy(model.generator) == generator
        estimate = learner.step(latents, images)
        assert estimate.shape == ()
        assert not estimate.requires_grad
    assert _copy(model.critic) != critic
    assert _copy(model.generator) != generator


def test_it_goes_on_after_an_interruption() -> None:
    batch = torch.zeros(4, 32), torch.rand(4, 1, 28, 28)
    goes_on_exactly(convolutional_gan, WassersteinLearner, batch, n_before=3)


def _copy(module: nn.Module) -> list[list[float]]:
    return [weights.flatten().tolist() for weights in module.parameters()]


def test_critic_comes_to_tell_images_apart() -> None:
    torch.manual_seed(0)
    learner = WassersteinLearner(convolutional_gan(), 1000)
    images = torch.zeros(8, 1, 28, 28)
    images[:, :, ::2] = 1
    with cpu_threads(1):
        estimates = [learner.step(torch.zeros(8, 32), images).item() for _ in range(12)]
    assert estimates[-1] > estimates[0] + 1


@pytest.mark.parametrize("colours", [1, 3])
def test_distance_of_patches_is_that_of_sorted_projections(colours: int) -> None:
    rng = np.random.default_rng(0)
    drawn, real = rng.random((2, 6, colours, PATCH, PATCH), dtype=np.float32)
    shape = (colours * PATCH**2, PROJECTIONS)
    directions = np.random.Generator(np.random.PCG64(1)).normal(size=shape)
    directions /= np.linalg.norm(directions, axis=0)
    ours, theirs = (images.reshape(6, -1) @ directions for images in (drawn, real))
    expected = np.mean([wasserstein_distance(*pair) for pair in zip(ours.T, theirs.T, strict=True)])
    assert patch_distances(list(drawn), real).mean() == pytest.approx(expected, rel=1e-5)


def test_patches_come_from_all_corners_alike() -> None:
    real = np.zeros((30, 3, 32, 32), np.float32)
    distances = []
    for rows, columns in product((slice(8), slice(-8, None)), repeat=2):
        drawn = real.copy()
        drawn[:, 2, rows, columns] = 1
        distances.append(patch_distances(list(drawn), real).mean())
    assert 0 < max(distances) < 1.5 * min(distances)


def test_distance_of_patches_tells_noise_from_images() -> None:
    train, test = get(NAME, "train"), get(NAME)
    figures = metric("patch_wasserstein")
    rng = np.random.default_rng(0)
    independent = rng.integers(4000, size=(400, 28, 28))
    rows, columns = np.indices((28, 28))
    noise = train.references[independent, 0, rows, columns][:, np.newaxis]
    same, other, shuffled = (
        figures.estimate(figures.scores(list(images), test.references)).value
        for images in (test.references, train.references[:400], noise)
    )
    assert figures.better == "lower"
    assert same == 0
    assert other is not None
    assert other < TASK.target
    assert shuffled is not None
    assert shuffled > 4 * other


def test_an_image_that_fails_alone_scores_worst() -> None:
    images = get(NAME).references[:50]
    outputs = images.copy()
    outputs[7] = 1
    assert patch_distances(list(outputs), images).argmax() == 7


def test_images_of_another_size_are_refused() -> None:
    images = np.zeros((2, 1, 28, 28), dtype=np.float32)
    expected = (
        r"patch_wasserstein: \(1, 14, 14\) is the shape of an output and \(1, 28, 28\) that of a "
        "reference: return images as large as the references"
    )
    with pytest.raises(UserError, match=expected):
        metric("patch_wasserstein").scores(list(images[:, :, ::2, ::2]), images)


def test_target_beats_the_baseline() -> None:
    baseline = TASK.baseline_quality().value
    assert baseline is not None
    assert TASK.target < baseline / 2


def test_images_do_not_depend_on_their_batch() -> None:
    check_batches(TASK, get(NAME).samples[:5])


def test_picture_has_drawn_and_real_images() -> None:
    test = get(NAME)
    picture = pictures(test, [np.zeros((1, 28, 28), dtype=np.float32)] * 64)
    half = picture.shape[1] // 2
    assert picture.dtype == np.uint8
    assert picture[:28, :28].max() == 0
    np.testing.assert_array_equal(
        picture[:28, half + 1 : half + 29, 0], (test.references[0, 0] * 255).round()
    )
