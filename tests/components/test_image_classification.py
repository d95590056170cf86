"""C1: the small residual network, its augmentation and its learner."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from benchmarks.components.image_classification import TASK
from benchmarks.components.image_classification.model import ResNet8
from benchmarks.components.image_classification.task import shift
from pytest_aibench import datasets


def test_resnet8_has_the_layers_and_weights_of_its_name() -> None:
    model = ResNet8()
    main_path = [
        module
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)) and "shortcut" not in name
    ]
    convolutions = 9 * (16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64)
    shortcuts = 16 * 32 + 32 * 64
    normalisations = 2 * (3 * 16 + 3 * 32 + 3 * 64)
    classifier = 64 * 10 + 10
    assert len(main_path) == 8
    assert sum(weight.numel() for weight in model.parameters()) == (
        convolutions + shortcuts + normalisations + classifier
    )
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_shift_moves_each_image_by_up_to_a_pixel() -> None:
    torch.manual_seed(0)
    images = torch.rand(200, 2, 5, 4)
    padded = functional.pad(images, (1, 1, 1, 1))
    chosen = set()
    for index, moved in enumerate(shift(images)):
        matches = [
            (down, right)
            for down in range(3)
            for right in range(3)
            if torch.equal(moved, padded[index, :, down : down + 5, right : right + 4])
        ]
        assert len(matches) == 1
        chosen.update(matches)
    assert len(chosen) == 9


def test_digits_fit_the_model() -> None:
    samples = datasets.get("digits").samples
    outputs = ResNet8().eval()(torch.tensor(samples))
    assert outputs.shape == (len(samples), 10)
    assert np.isfinite(outputs.detach().numpy()).all()


def test_the_trivial_answer_is_right_for_a_tenth() -> None:
    worth = TASK.baseline_quality().value
    assert worth is not None
    assert 0.09 < worth < 0.11


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    data = datasets.get("digits", "train")
    images, classes = torch.tensor(data.samples[:64]), torch.tensor(data.references[:64])
    learner = TASK.learner(TASK.build(), 20)
    losses = [learner.step(images, classes).item() for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]
