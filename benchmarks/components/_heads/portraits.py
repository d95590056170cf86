"""Portraits of people by a camera with a depth sensor, each with another face, pose and light."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.components._heads.model import HeadModel, read_heads
from benchmarks.components._heads.rendering import Floats, View, render
from pytest_aibench.datasets import cached_arrays

Images = npt.NDArray[np.uint8]

SIZE = 48

_PIXELS_PER_DM = 18.0
_BACK_DM, _FRONT_DM = -1.6, 1.2
"""Range of the depth sensor about the eyes' middle."""


def portraits(*, seed: int, people: range, session: int, count: int) -> Images:
    """Photograph people so many times each, or load the photographs of last time.

    Args:
        seed: Seeds everything.
        people: Numbers of the people: the same number with the same seed is the same person.
        session: Another session with the same people gives other portraits.
        count: Portraits of each person.

    Returns:
        Shape (people, count, 2, SIZE, SIZE). The first channel is intensity, the second how near,
        0 where there is nothing.

    Raises:
        DataAbsent: The heads' package is in no cache and cannot be fetched.
    """

    def make() -> dict[str, Images]:
        model = read_heads()
        taken = [sitting(model, (seed, person), session, count) for person in people]
        return {"portraits": np.stack(taken)}

    name = f"portraits-{seed}-{people.start}-{people.stop}-{session}-{count}"
    return cached_arrays(name, make)["portraits"]


def sitting(model: HeadModel, person: tuple[int, int], session: int, count: int) -> Images:
    """Photograph one person, shape (count, 2, SIZE, SIZE); a person is a pair of seeds."""
    vertices = model.person(np.random.Generator(np.random.PCG64(person)))
    # A seed that ends in zero is the same as one without it.
    generator = np.random.Generator(np.random.PCG64((*person, session + 1)))
    return np.stack([_portrait(model, vertices, generator) for _ in range(count)])


def _portrait(model: HeadModel, vertices: Floats, generator: np.random.Generator) -> Images:
    face = vertices + model.expression(generator)
    lit, z_dm = render(face, model.faces, model.albedo, _view(generator), SIZE)
    exposure, distance_dm = generator.uniform((0.7, -0.1), (1.3, 0.1))
    intensity = exposure * lit + generator.normal(0, 0.02, lit.shape)
    sensed_dm = z_dm + distance_dm + generator.normal(0, 0.03, lit.shape)
    nearness = np.nan_to_num((sensed_dm - _BACK_DM) / (_FRONT_DM - _BACK_DM))
    channels: Images = (np.clip([intensity, nearness], 0, 1) * 255).round().astype(np.uint8)
    return channels


def _view(generator: np.random.Generator) -> View:
    """Within 40 degrees to the sides, 10 up or down, 5 of tilt; light from before the face."""
    sideways, upwards = generator.uniform((-0.8, -0.3), (0.8, 0.7))
    length = float(np.sqrt(sideways**2 + upwards**2 + 1))
    yaw, pitch, roll = np.deg2rad(generator.uniform((-40, -10, -5), (40, 10, 5)))
    right, up = generator.uniform(-1.5, 1.5, 2)
    return View(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        pixels_per_dm=_PIXELS_PER_DM * generator.uniform(0.95, 1.05),
        shift=(right, up),
        light=(sideways / length, upwards / length, 1 / length),
        ambient=generator.uniform(0.1, 0.4),
    )
