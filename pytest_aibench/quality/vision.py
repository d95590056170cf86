"""Quality of images, label maps, detections, shapes, faces, and of sets of generated images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import (
    CorpusMetric,
    MeanMetric,
    Measure,
    QualityMetric,
    Scores,
    each,
    mean_of_ratios,
)

Array = npt.NDArray[np.float64]

_MOST_PSNR_DB = 100.0
_SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5
_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_OVERLAP = 0.5
_PROJECTIONS = 128
_FOLDS = 10


def _mse(output: Any, reference: Any) -> float:
    """Mean of the squared differences."""
    return float(np.mean((_like(output, reference) - reference) ** 2))


def _psnr(output: Any, reference: Any) -> float:
    """Peak signal over noise in dB; 100 at most, where it would be infinite."""
    error = _mse(output, reference)
    least = _peak(reference) ** 2 / 10 ** (_MOST_PSNR_DB / 10)
    return float(10 * np.log10(_peak(reference) ** 2 / max(error, least)))


def _ms_ssim(output: Any, reference: Any) -> float:
    """Multi-scale structural similarity (Wang, Simoncelli and Bovik, 2003).

    Images of shape (..., height, width) are compared plane by plane, with values in [0, 1], or in
    [0, 255] where the reference is of integers. The paper halves images four times; those of less
    than 176 pixels are halved as often as the window of 11 pixels fits, and the weights of these
    scales are scaled to a sum of 1. Contrasts that are opposed count as zero.
    """
    one, other = _like(output, reference), np.asarray(reference, dtype=np.float64)
    smallest = min(one.shape[-2:]) if one.ndim >= 2 else 0
    if smallest < _SSIM_WINDOW:
        raise UserError(f"an image of shape {one.shape}: it takes {_SSIM_WINDOW} pixels each way")
    scales = min(len(_SSIM_WEIGHTS), int(np.log2(smallest / _SSIM_WINDOW)) + 1)
    weights = np.array(_SSIM_WEIGHTS[:scales]) / sum(_SSIM_WEIGHTS[:scales])
    similarity = np.ones(one.shape[:-2])
    for weight in weights[:-1]:
        _, contrast = _ssim(one, other, _peak(reference))
        similarity *= np.maximum(contrast, 0) ** weight
        one, other = _halved(one), _halved(other)
    whole, _ = _ssim(one, other, _peak(reference))
    return float(np.mean(similarity * np.maximum(whole, 0) ** weights[-1]))


def _ssim(one: Array, other: Array, peak: float) -> tuple[Array, Array]:
    """Structural similarity, and its part without the luminance, of each plane."""
    luminance_floor, contrast_floor = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_one, mean_other = _blurred(one), _blurred(other)
    variances = _blurred(one**2 + other**2) - mean_one**2 - mean_other**2
    covariance = _blurred(one * other) - mean_one * mean_other
    contrast = (2 * covariance + contrast_floor) / (variances + contrast_floor)
    luminance = (2 * mean_one * mean_other + luminance_floor) / (
        mean_one**2 + mean_other**2 + luminance_floor
    )
    return (luminance * contrast).mean(axis=(-2, -1)), contrast.mean(axis=(-2, -1))


def _blurred(images: Array) -> Array:
    """Means under a Gaussian window, where all of it lies in the image."""
    offset = np.arange(_SSIM_WINDOW) - _SSIM_WINDOW // 2
    window = np.exp(-(offset**2) / (2 * _SSIM_SIGMA**2))
    window /= window.sum()
    rows = sliding_window_view(images, _SSIM_WINDOW, axis=-1) @ window
    blurred: Array = sliding_window_view(rows, _SSIM_WINDOW, axis=-2) @ window
    return blurred


def _halved(images: Array) -> Array:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = images.shape[-2] // 2 * 2, images.shape[-1] // 2 * 2
    rows = images[..., 0:height:2, :width] + images[..., 1:height:2, :width]
    halved: Array = (rows[..., 0::2] + rows[..., 1::2]) / 4
    return halved


def _voxel_iou(output: Any, reference: Any) -> float:
    """Voxels above one half in both, as a share of those in either; 1 where both are empty."""
    one, other = _like(output, reference) > 0.5, np.asarray(reference) > 0.5
    either = (one | other).sum()
    return float((one & other).sum() / either) if either else 1.0


def _pixels(output: Any, reference: Any) -> Sequence[float]:
    """Pixels of the right class, and all that have one: those of a number below 0 do not count."""
    right = _like(output, reference)[reference >= 0] == reference[reference >= 0]
    return float(right.sum()), float(right.size)


def _by_class(share_of: Callable[[Scores, Scores, Scores], Scores]) -> Measure:
    """Right pixels of each class that is in the references, and what they are to be a share of.

    ``share_of`` takes the right pixels, those of the output and those of the reference by class.
    """

    def measure(outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
        classes = int(references.max(initial=0)) + 1

        def count(output: Any, reference: Any) -> Scores:
            answer = _like(output, reference)
            right = _histogram(reference[answer == reference], classes)
            given, wanted = _histogram(answer, classes), _histogram(reference, classes)
            return np.concatenate((right, share_of(right, given, wanted)))

        return each(count)(outputs, references)

    return measure


def _histogram(labels: npt.NDArray[Any], classes: int) -> Scores:
    """Pixels of each class; those of any other number are not counted."""
    known = labels[(labels >= 0) & (labels < classes)].astype(np.int64)
    return np.bincount(known, minlength=classes).astype(np.float64)


def _detection_events(outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
    """Each image's detections and missed objects, as triples (class, confidence, hit).

    An object that was not found is a hit of confidence minus infinity, so an image has as many
    hits as objects. Shorter rows are filled with triples of class -1.
    """
    most = references.shape[1] + max((len(np.atleast_1d(output)) for output in outputs), default=0)

    def events(output: Any, reference: Any) -> Scores:
        found = _matched(_boxes(output), reference[reference[:, 4] >= 0])
        filled = np.full((most, 3), (-1.0, 0.0, 0.0))
        filled[: len(found)] = np.reshape(found, (-1, 3))
        return filled.ravel()

    return each(events)(outputs, references)


def _boxes(output: Any) -> Array:
    boxes = np.asarray(output)
    if boxes.size == 0:
        return np.empty((0, 6))
    if boxes.ndim != 2 or boxes.shape[1] != 6 or boxes.dtype.kind not in "iuf":
        raise UserError(
            f"the output has shape {boxes.shape} and type {boxes.dtype}: return an array (k, 6) of "
            "x1, y1, x2, y2, class, score"
        )
    return boxes.astype(np.float64)


def _matched(boxes: Array, objects: npt.NDArray[Any]) -> list[tuple[float, float, float]]:
    """Match as VOC does: a box counts for the object of its class that it overlaps most.

    It is a hit when they overlap by half and no surer box has hit the object.
    """
    overlaps = _overlaps(boxes, objects)
    found = np.zeros(len(objects), dtype=np.bool_)
    events = []
    for box in np.argsort(-boxes[:, 5], kind="stable"):
        label, confidence = boxes[box, 4:]
        overlap = np.where(objects[:, 4] == label, overlaps[box], 0)
        best = overlap.argmax() if len(objects) else 0
        hit = len(objects) > 0 and overlap[best] >= _OVERLAP and not found[best]
        if hit:
            found[best] = True
        events.append((float(label), float(confidence), float(hit)))
    return events + [(float(label), -np.inf, 1.0) for label in objects[~found, 4]]


def _overlaps(boxes: Array, objects: npt.NDArray[Any]) -> Array:
    """Intersection over union of corners x1, y1, x2, y2 in continuous units, shape (k, m)."""
    one, other = boxes[:, np.newaxis, :4], objects[np.newaxis, :, :4]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    both = np.prod(np.maximum(sides, 0), axis=-1)
    areas = sum(np.prod(edges[..., 2:] - edges[..., :2], axis=-1) for edges in (one, other))
    overlaps: Array = both / np.maximum(areas - both, np.finfo(np.float64).tiny)
    return overlaps


def _mean_average_precision(events: Scores) -> float:
    """Mean over the classes that have objects; without any, 1 when nothing was detected.

    Ties of confidence count against the model.
    """
    label, confidence, hit = events.reshape(-1, 3).T
    order = np.lexsort((hit, -confidence))
    label, confidence, hit = label[order], confidence[order], hit[order]
    classes = np.unique(label[hit == 1])
    if len(classes) == 0:
        return float((label < 0).all())
    detected = confidence > -np.inf
    return float(
        np.mean(
            [
                _average_precision(hit[detected & (label == one)], hit[label == one].sum())
                for one in classes
            ]
        )
    )


def _average_precision(hits: Scores, objects: float) -> float:
    """Mean of the best precision at recalls of at least 0, 0.1, ... 1, as in VOC 2007.

    Args:
        hits: 1 for each detection that hit an object, 0 for the others, surest first.
        objects: Number of objects.
    """
    found = hits.cumsum()
    precision = found / np.arange(1, len(hits) + 1)
    best = [precision[10 * found >= tenths * objects].max(initial=0) for tenths in range(11)]
    return float(np.mean(best))


def _verification(outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
    """Verification accuracy: are two faces of one person? Outputs are embeddings.

    References are the persons' numbers. Two samples are said to be one person when the Euclidean
    distance of their embeddings is at most a threshold. As for LFW, persons are dealt to ten
    folds, and the threshold for a fold is the one that is best for pairs of persons outside it
    (Huang et al., 2007). A sample's score is its accuracy over its pairs with all others, where
    those with the same person weigh as much as those with others: an answer that is always the
    same gets one half.
    """
    distances = _distances(outputs)
    _, person, images = np.unique(references, return_inverse=True, return_counts=True)
    if len(images) < 3 or images.min() < 2:
        raise UserError(
            f"{len(images)} persons with {images.min()} or more samples: verification "
            "takes at least 3 persons with 2 samples each"
        )
    same = person[:, np.newaxis] == person
    fold = person % min(_FOLDS, len(images))
    scores = np.full(len(outputs), np.nan)
    for number in np.unique(fold):
        inside = fold == number
        apart = np.ix_(~inside, ~inside)
        threshold = _best_threshold(distances[apart], same[apart])
        accepted = distances[inside] <= threshold
        scores[inside] = _balanced_accuracy(accepted, same[inside])
    scores[np.isnan(np.diagonal(distances))] = np.nan
    return scores


def _distances(outputs: Sequence[Any]) -> Array:
    from scipy.spatial.distance import cdist

    try:
        embeddings = np.array(outputs, dtype=np.float64)
    except (TypeError, ValueError):
        embeddings = np.empty(0)
    if embeddings.ndim != 2:
        raise UserError("the outputs are no vectors of one length: return an embedding for each")
    distances: Array = cdist(embeddings, embeddings)
    return distances


def _best_threshold(distances: Array, same: npt.NDArray[np.bool_]) -> float:
    """Half way between two neighbouring distances."""
    pairs = np.triu_indices(len(distances), 1)
    order = np.argsort(distances[pairs])
    distance, is_same = distances[pairs][order], same[pairs][order]
    accepted_same = np.cumsum(is_same) / is_same.sum()
    accepted_other = np.cumsum(~is_same) / (~is_same).sum()
    last_of_its_distance = np.append(distance[1:] != distance[:-1], True)
    best = np.where(last_of_its_distance, accepted_same - accepted_other, -1).argmax()
    return float(distance[best : best + 2].mean())


def _balanced_accuracy(accepted: npt.NDArray[np.bool_], same: npt.NDArray[np.bool_]) -> Scores:
    """Of each row; its sample's distance to itself, which is always accepted, is not counted."""
    right_same = ((accepted & same).sum(axis=1) - 1) / (same.sum(axis=1) - 1)
    right_other = (~accepted & ~same).sum(axis=1) / (~same).sum(axis=1)
    balanced: Scores = (right_same + right_other) / 2
    return balanced


def _transport(outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
    """How far each output is from the reference it is moved to, a mean over random directions.

    Along each of 128 fixed directions of unit length the cheapest way to move the outputs onto
    the references is in their order (Rabin et al., SSVM 2011). The mean over the outputs is the
    sliced Wasserstein-1 distance of the two sets.
    """
    ours = each(lambda output, reference: _like(output, reference).ravel())(outputs, references)
    if ours.ndim == 1:
        return ours
    directions = np.random.Generator(np.random.PCG64(0)).standard_normal(
        (ours.shape[1], _PROJECTIONS)
    )
    directions /= np.linalg.norm(directions, axis=0)
    along = ours @ directions
    wanted = np.sort(references.reshape(len(references), -1) @ directions, axis=0)
    order = along.argsort(axis=0)
    moved = np.abs(np.take_along_axis(along, order, axis=0) - wanted)
    by_output = np.empty_like(moved)
    np.put_along_axis(by_output, order, moved, axis=0)
    scores: Scores = by_output.mean(axis=1)
    return scores


def _like(output: Any, reference: Any) -> Array:
    """The output's numbers, in the reference's shape."""
    values = np.asarray(output)
    if values.shape != np.shape(reference) or values.dtype.kind not in "biuf":
        raise UserError(
            f"the output has shape {values.shape} and type {values.dtype}: return numbers of the "
            f"reference's shape {np.shape(reference)}"
        )
    return values.astype(np.float64)


def _peak(reference: npt.NDArray[Any]) -> float:
    return 1.0 if reference.dtype.kind == "f" else 255.0


METRICS: tuple[QualityMetric, ...] = (
    MeanMetric(name="mse", measure=each(_mse), better="lower"),
    MeanMetric(name="psnr", measure=each(_psnr), unit="dB"),
    MeanMetric(name="ms_ssim", measure=each(_ms_ssim)),
    MeanMetric(name="voxel_iou", measure=each(_voxel_iou)),
    CorpusMetric(name="pixel_accuracy", measure=each(_pixels), figure=mean_of_ratios),
    CorpusMetric(
        name="class_accuracy",
        measure=_by_class(lambda right, given, wanted: wanted),
        figure=mean_of_ratios,
    ),
    CorpusMetric(
        name="mean_iou",
        measure=_by_class(lambda right, given, wanted: given + wanted - right),
        figure=mean_of_ratios,
    ),
    CorpusMetric(name="map50", measure=_detection_events, figure=_mean_average_precision),
    MeanMetric(name="sliced_wasserstein", measure=_transport, better="lower"),
    MeanMetric(name="verification_accuracy", measure=_verification),
)
