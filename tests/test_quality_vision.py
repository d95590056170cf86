"""Metrics of images, maps, boxes, shapes and embeddings: hand-worked cases and brute force."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric, per_sample

INF = float("inf")
NAN = float("nan")


def figure(name: str, outputs: Any, references: Any) -> float | None:
    quality = metric(name)
    return quality.estimate(quality.scores(outputs, np.asarray(references))).value


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize(
    ("name", "better", "unit"),
    [
        ("mse", "lower", ""),
        ("psnr", "higher", "dB"),
        ("ms_ssim", "higher", ""),
        ("voxel_iou", "higher", ""),
        ("pixel_accuracy", "higher", ""),
        ("class_accuracy", "higher", ""),
        ("mean_iou", "higher", ""),
        ("map50", "higher", ""),
        ("sliced_wasserstein", "lower", ""),
        ("verification_accuracy", "higher", ""),
    ],
)
def test_direction_and_unit(name: str, better: str, unit: str) -> None:
    assert (metric(name).better, metric(name).unit) == (better, unit)


def test_mse_is_the_mean_over_samples() -> None:
    assert figure("mse", [np.ones((2, 2)), np.zeros((2, 2))], np.full((2, 2, 2), 3.0)) == 6.5


@pytest.mark.parametrize(
    ("error", "peak", "db"),
    [(0.1, 1.0, 20), (0.001, 1.0, 60), (25.5, 255, 20), (0, 255, 100), (1e-9, 1.0, 100)],
)
def test_psnr(error: float, peak: float, db: float) -> None:
    reference = np.zeros((1, 1, 4, 4), dtype=np.float32 if peak == 1 else np.uint8)
    assert figure("psnr", [np.full((1, 4, 4), error)], reference) == pytest.approx(db)


def ssim_by_loops(
    one: npt.NDArray[Any], other: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Wang et al. 2004, equations 13 to 16, window by window."""
    offset = np.arange(-5, 6)
    window = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    window /= window.sum()
    luminance, contrast = [], []
    for y in range(one.shape[0] - 10):
        for x in range(one.shape[1] - 10):
            a, b = one[y : y + 11, x : x + 11], other[y : y + 11, x : x + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            luminance.append((2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4))
            contrast.append((2 * covariance + 9e-4) / (var_a + var_b + 9e-4))
    return np.array(luminance), np.array(contrast)


def test_ms_ssim_of_one_scale_is_ssim() -> None:
    image = generator(0).random((14, 13))
    noisy = image + 0.2 * generator(1).standard_normal((14, 13))
    luminance, contrast = ssim_by_loops(noisy, image)
    assert figure("ms_ssim", [noisy], [image]) == pytest.approx((luminance * contrast).mean())


def test_ms_ssim_of_two_scales_weighs_contrast_and_the_whole() -> None:
    image = generator(2).random((23, 24))
    noisy = image + 0.1 * generator(3).standard_normal((23, 24))
    halves = [each[:22].reshape(11, 2, 12, 2).mean(axis=(1, 3)) for each in (noisy, image)]
    _, contrast = ssim_by_loops(noisy, image)
    luminance, coarse = ssim_by_loops(*halves)
    whole = (luminance * coarse).mean()
    first, second = 0.0448 / 0.3304, 0.2856 / 0.3304
    expected = contrast.mean() ** first * whole**second
    assert figure("ms_ssim", [noisy], [image]) == pytest.approx(expected)


@pytest.mark.parametrize("side", [11, 32, 176])
def test_ms_ssim_of_an_image_with_itself_is_one(side: int) -> None:
    image = generator(4).integers(0, 256, (3, side, side), dtype=np.uint8)
    assert figure("ms_ssim", [image], image[np.newaxis]) == pytest.approx(1)
    worse = np.clip(image + generator(5).normal(0, 40, image.shape), 0, 255)
    value = figure("ms_ssim", [worse], image[np.newaxis])
    assert value is not None
    assert 0.3 < value < 0.99


def test_ms_ssim_does_not_depend_on_the_scale_of_values() -> None:
    image = generator(6).integers(0, 256, (1, 40, 40), dtype=np.uint8)
    other = image[::-1, ::-1, ::-1]
    in_unit = figure("ms_ssim", [other / 255], image[np.newaxis] / 255)
    assert figure("ms_ssim", [other], image[np.newaxis]) == pytest.approx(in_unit)


@pytest.mark.parametrize(
    ("output", "iou"),
    [
        ([1, 1, 0, 0], 1.0),
        ([0.9, 0.4, 0.6, 0.1], 1 / 3),
        ([0, 0, 1, 1], 0.0),
        ([1, 1, 1, 1], 0.5),
    ],
)
def test_voxel_iou(output: list[float], iou: float) -> None:
    assert figure("voxel_iou", [np.array(output)], [[1, 1, 0, 0]]) == pytest.approx(iou)


def test_voxel_iou_of_nothing_with_nothing_is_one() -> None:
    assert figure("voxel_iou", [np.zeros(4)], [[False] * 4]) == 1


# Classes 0, 1 and 2; class 1 is right in 1 of 2 pixels, class 2 in none of 1, class 0 in 4 of 5.
WANTED = np.array([[[0, 0], [0, 1]], [[0, 0], [1, 2]]])
GIVEN = np.array([[[0, 0], [1, 1]], [[0, 0], [0, 7]]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pixel_accuracy", 5 / 8),
        ("class_accuracy", (4 / 5 + 1 / 2 + 0 / 1) / 3),
        ("mean_iou", (4 / 6 + 1 / 3 + 0 / 1) / 3),
    ],
)
def test_label_maps(name: str, value: float) -> None:
    assert figure(name, list(GIVEN), WANTED) == pytest.approx(value)


def test_pixels_without_a_class_do_not_count() -> None:
    assert figure("pixel_accuracy", [np.array([0, 1, 0])], np.array([[0, 0, -1]])) == 0.5


def test_own_score_of_a_label_map_is_of_its_own_classes() -> None:
    scores = metric("mean_iou").scores(list(GIVEN), WANTED)
    expected = [(2 / 3 + 1 / 2) / 2, (2 / 3 + 0 + 0) / 3]
    np.testing.assert_allclose(per_sample(scores), expected)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_label_maps_by_brute_force(seed: int) -> None:
    wanted = generator(seed).integers(0, 4, (3, 5, 4))
    given_ = generator(seed + 1).integers(0, 4, (3, 5, 4))
    classes = range(4)
    both = [((wanted == k) & (given_ == k)).sum() for k in classes]
    either = [((wanted == k) | (given_ == k)).sum() for k in classes]
    ious = [a / b for a, b in zip(both, either, strict=True) if b]
    assert figure("mean_iou", list(given_), wanted) == pytest.approx(np.mean(ious))


# Two images, class 0 has 3 objects, class 1 one.
OBJECTS = np.array(
    [
        [[0, 0, 10, 10, 0], [20, 20, 30, 30, 0], [50, 50, 60, 60, 1]],
        [[0, 0, 10, 10, 0], [0, 0, 0, 0, -1], [0, 0, 0, 0, -1]],
    ],
    dtype=np.float32,
)


def test_map50_by_hand() -> None:
    first = [
        [0, 0, 10, 10, 0, 0.9],  # hit
        [0, 0, 10, 9, 0, 0.8],  # a second time: false
        [20, 20, 30, 25, 0, 0.7],  # overlap of exactly one half: hit
        [20, 20, 30, 30, 1, 0.99],  # right place, wrong class
        [50, 50, 60, 60, 1, 0.5],  # hit
    ]
    second = [[3, 3, 13, 13, 0, 0.95]]  # overlap 49 / 151: false
    # Class 0, surest first: false, hit, false, hit. Precision 1/2 up to recall 2/3, then nothing.
    class_0 = 7 * 0.5 / 11
    # Class 1: false, hit: precision 1/2 at all recalls.
    class_1 = 0.5
    value = figure("map50", [np.array(first), np.array(second)], OBJECTS)
    assert value == pytest.approx((class_0 + class_1) / 2)


def test_map50_of_perfect_boxes_and_of_none() -> None:
    perfect = [
        np.column_stack((objects[objects[:, 4] >= 0], np.ones((objects[:, 4] >= 0).sum())))
        for objects in OBJECTS
    ]
    assert figure("map50", perfect, OBJECTS) == 1
    assert figure("map50", [np.empty((0, 6)), np.empty((0, 6))], OBJECTS) == 0
    assert figure("map50", [[], []], OBJECTS) == 0


def test_map50_of_recalls_in_tenths_does_not_round() -> None:
    objects = np.zeros((1, 10, 5))
    objects[0, :, :2] = 20 * np.arange(10)[:, None]
    objects[0, :, 2:4] = objects[0, :, :2] + 10
    found = np.column_stack((objects[0, :3], np.ones(3)))
    assert figure("map50", [found], objects) == pytest.approx(4 / 11)


def test_map50_counts_ties_against_the_model() -> None:
    boxes = np.array([[0, 0, 10, 10, 0, 0.5], [70, 70, 80, 80, 0, 0.5]])
    objects = OBJECTS[1:]
    assert figure("map50", [boxes], objects) == pytest.approx(0.5)
    assert figure("map50", [boxes[::-1]], objects) == pytest.approx(0.5)


def test_map50_where_there_is_nothing() -> None:
    nothing = np.full((1, 2, 5), -1.0)
    assert figure("map50", [np.empty((0, 6))], nothing) == 1
    assert figure("map50", [[[0, 0, 1, 1, 0, 0.3]]], nothing) == 0


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_map50_by_brute_force(seed: int) -> None:
    draws = generator(seed)
    corner = 4 * draws.integers(0, 4, (3, 4, 2))
    objects = np.concatenate((corner, corner + 4, draws.integers(-1, 2, (3, 4, 1))), axis=-1)
    near = 4 * draws.integers(0, 4, (3, 6, 2)) + draws.integers(0, 3, (3, 6, 2))
    label, score = draws.integers(0, 2, (3, 6, 1)), draws.permutation(18).reshape(3, 6, 1) / 18
    boxes = np.concatenate((near, near + 4, label, score), axis=-1)
    if (objects[..., 4] >= 0).any():
        value = figure("map50", list(boxes), objects)
        assert value == pytest.approx(map_by_loops(boxes, objects))


def map_by_loops(boxes: npt.NDArray[Any], objects: npt.NDArray[Any]) -> float:
    averages = []
    for label in (0, 1):
        total = int((objects[..., 4] == label).sum())
        if total:
            averages.append(average_precision_by_loops(boxes, objects, label, total))
    return float(np.mean(averages))


def average_precision_by_loops(
    boxes: npt.NDArray[Any], objects: npt.NDArray[Any], label: int, total: int
) -> float:
    flat = [(box[5], image, box) for image in range(3) for box in boxes[image] if box[4] == label]
    taken, hits, points = set(), 0, []
    for rank, (_, image, box) in enumerate(sorted(flat, key=lambda each: -each[0]), start=1):
        best, where = 0.0, -1
        for index, thing in enumerate(objects[image]):
            width = min(box[2], thing[2]) - max(box[0], thing[0])
            height = min(box[3], thing[3]) - max(box[1], thing[1])
            both = max(width, 0) * max(height, 0)
            if thing[4] == label and both / (32 - both) > best:
                best, where = both / (32 - both), index
        if best >= 0.5 and (image, where) not in taken:
            taken.add((image, where))
            hits += 1
        points.append((hits, hits / rank))
    return (
        sum(
            max(
                (precision for found, precision in points if 10 * found >= tenth * total), default=0
            )
            for tenth in range(11)
        )
        / 11
    )


def test_sliced_wasserstein_in_one_dimension_is_the_distance_of_sorted_values() -> None:
    outputs, references = np.array([[5.0], [1.0], [2.0]]), np.array([[1.0], [2.5], [3.0]])
    scores = metric("sliced_wasserstein").scores(list(outputs), references)
    np.testing.assert_allclose(scores, [2.0, 0.0, 0.5])


def test_sliced_wasserstein_of_a_shift_is_the_mean_of_its_shadows() -> None:
    references = generator(7).random((50, 1, 6, 6))
    assert figure("sliced_wasserstein", list(references[::-1]), references) == pytest.approx(0)
    shift = np.zeros((1, 6, 6))
    shift[0, 2, 3] = 4
    value = figure("sliced_wasserstein", list(references + shift), references)
    # The mean magnitude of one coordinate of a direction in 36 dimensions is 0.134.
    assert value == pytest.approx(4 * 0.134, rel=0.1)


def faces(noise: float, persons: int = 12, each: int = 6) -> tuple[Any, Any]:
    centres = generator(8).standard_normal((persons, 16))
    person = np.repeat(np.arange(persons), each)
    return centres[person] + noise * generator(9).standard_normal((len(person), 16)), person


def test_verification_of_clear_faces_and_of_one_answer_for_all() -> None:
    embeddings, person = faces(0.01)
    assert figure("verification_accuracy", list(embeddings), person) == 1
    assert figure("verification_accuracy", [np.ones(4)] * len(person), person) == 0.5
    noise = generator(10).standard_normal((len(person), 16))
    assert figure("verification_accuracy", list(noise), person) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("digits", [9, 0])
def test_verification_by_brute_force(digits: int) -> None:
    embeddings, person = faces(0.9, persons=11, each=2)
    embeddings = embeddings[:, :3].round(digits)
    n = len(person)
    distance = np.array([[np.linalg.norm(a - b) for b in embeddings] for a in embeddings])

    def balanced(rows: list[int], columns: list[int], threshold: float) -> float:
        same: list[bool] = []
        other: list[bool] = []
        for i in rows:
            for j in columns:
                if i != j:
                    accepted = distance[i, j] <= threshold
                    (same if person[i] == person[j] else other).append(accepted)
        return float((np.mean(same) + 1 - np.mean(other)) / 2)

    for sample, score in enumerate(
        metric("verification_accuracy").scores(list(embeddings), person)
    ):
        outside = [i for i in range(n) if person[i] % 10 != person[sample] % 10]
        seen = sorted({distance[i, j] for i in outside for j in outside if i != j})
        thresholds = [(one + following) / 2 for one, following in pairwise(seen)]
        best = max(thresholds, key=lambda each: balanced(outside, outside, each))
        assert score == pytest.approx(balanced([sample], list(range(n)), best))


def test_threshold_is_not_chosen_on_the_persons_it_judges() -> None:
    embeddings, person = faces(0.01)
    embeddings[person == 0] *= 1 + np.arange(6)[:, np.newaxis] * 100
    scores = metric("verification_accuracy").scores(list(embeddings), person)
    assert scores[person == 0].max() == pytest.approx(0.5)
    assert scores[(person > 0) & (person != 10)].min() == 1


@pytest.mark.parametrize(
    ("name", "output", "reference"),
    [
        ("mse", np.full((1, 12, 12), NAN), np.zeros((1, 12, 12))),
        ("psnr", np.full((1, 12, 12), NAN), np.zeros((1, 12, 12))),
        ("ms_ssim", np.full((1, 12, 12), NAN), np.zeros((1, 12, 12))),
        ("voxel_iou", np.full((1, 12, 12), NAN), np.zeros((1, 12, 12))),
        ("pixel_accuracy", None, np.zeros((12, 12), dtype=int)),
        ("mean_iou", None, np.zeros((12, 12), dtype=int)),
        ("map50", np.full((1, 6), NAN), np.zeros((1, 5))),
        ("sliced_wasserstein", np.full(4, NAN), np.zeros(4)),
    ],
)
def test_output_that_is_no_number_is_not_measured(
    name: str, output: Any, reference: npt.NDArray[Any]
) -> None:
    good = np.zeros((0, 6)) if name == "map50" else reference
    references = np.stack([reference] * 3)
    some = metric(name).estimate(metric(name).scores([good, output, good], references))
    assert some.value is None
    assert some.why_open == "1 of 3 outputs are not numbers, the first is that of sample 1"
    none = metric(name).estimate(metric(name).scores([output] * 3, references))
    assert none.value is None
    assert none.why_open == "3 of 3 outputs are not numbers, the first is that of sample 0"


def test_embedding_that_is_no_number_is_not_measured() -> None:
    embeddings, person = faces(0.01)
    embeddings[4, 2] = NAN
    quality = metric("verification_accuracy")
    estimate = quality.estimate(quality.scores(list(embeddings), person))
    assert estimate.value is None
    assert estimate.why_open == "1 of 72 outputs are not numbers, the first is that of sample 4"


@pytest.mark.parametrize(
    ("name", "outputs", "references", "message"),
    [
        (
            "mse",
            [np.zeros((2, 2))],
            np.zeros((1, 3, 3)),
            "mse: sample 0: the output has shape (2, 2) and type float64: "
            "return numbers of the reference's shape (3, 3)",
        ),
        (
            "mean_iou",
            ["a"],
            np.zeros((1, 2, 2), dtype=int),
            "mean_iou: sample 0: the output has shape () and type <U1: "
            "return numbers of the reference's shape (2, 2)",
        ),
        (
            "ms_ssim",
            [np.zeros((1, 8, 20))],
            np.zeros((1, 1, 8, 20)),
            "ms_ssim: sample 0: an image of shape (1, 8, 20): it takes 11 pixels each way",
        ),
        (
            "map50",
            [np.zeros((2, 5))],
            np.zeros((1, 1, 5)),
            "map50: sample 0: the output has shape (2, 5) and type float64: "
            "return an array (k, 6) of x1, y1, x2, y2, class, score",
        ),
        (
            "verification_accuracy",
            [np.zeros(2), np.zeros(3)],
            np.zeros(2, dtype=int),
            "verification_accuracy: the outputs are no vectors of one length: "
            "return an embedding for each",
        ),
        (
            "verification_accuracy",
            [np.zeros(2)] * 4,
            np.array([0, 0, 1, 1]),
            "verification_accuracy: 2 persons with 2 or more samples: "
            "verification takes at least 3 persons with 2 samples each",
        ),
    ],
)
def test_what_is_refused(name: str, outputs: Any, references: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        metric(name).scores(outputs, references)
    assert str(error.value) == message
