"""Cameras around an object, and how a solid looks to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.components.reconstruction_3d.shapes import SIDE, Solid

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]

_ELEVATION = np.deg2rad(30)
_DEPTHS = 32
_AMBIENT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Cameras at equal angles on a circle around the cube [-0.5, 0.5]³.

    They look down 30 degrees at its middle, the first from the back, the next ones from the right
    on, as those of Yan et al. (2016, section 4) at 24 angles.

    Attributes:
        views: Number of cameras.
        pixels: Of a picture, each way.
        distance: From the cube's middle.
        near: Where the depth begins that they look at.
        far: Where it ends.
        half_width: What they see to each side of the cube's middle.
    """

    views: int
    pixels: int
    distance: float
    near: float
    far: float
    half_width: float


EMBEDDED = Ring(views=8, pixels=32, distance=2.0, near=1.25, far=2.75, half_width=0.75)
VIEWS, PIXELS = EMBEDDED.views, EMBEDDED.pixels


def frustums(depths: int = _DEPTHS, ring: Ring = EMBEDDED) -> Floats:
    """Points along the rays of all pixels of all cameras, shape (views, depths, pixels, pixels, 3).

    Coordinates are right, front, up; depths go from near to far, rows from top to bottom.
    """
    steps = (np.arange(ring.pixels) + 0.5) / ring.pixels * 2 - 1
    across = steps * ring.half_width / ring.distance
    z = np.linspace(ring.near, ring.far, depths)
    forward, down, right = np.meshgrid(z, across, across, indexing="ij")
    in_camera = np.stack([right * forward, -down * forward, ring.distance - forward], axis=-1)
    return np.stack([in_camera @ axes for axes in _camera_axes(ring.views)]).astype(np.float32)


def photographs(solids: Solid) -> tuple[Bytes, Bytes]:
    """Photographs and silhouettes of solids, each with a light at each camera.

    Brightness follows Lambert's law. Both are of shape (n, VIEWS, PIXELS, PIXELS), from 0 for the
    background to 255.
    """
    voxels, axes = _nearest_voxels(), _camera_axes(VIEWS)
    taken = [_photographs_of(solid, voxels, axes[:, 2]) for solid in solids]
    photos, silhouettes = zip(*taken, strict=True)
    return np.stack(photos), np.stack(silhouettes)


def _photographs_of(solid: Solid, voxels: Indices, to_cameras: Floats) -> tuple[Bytes, Bytes]:
    filled = np.append(solid, False)[voxels]
    seen = filled.any(axis=1)
    first = np.take_along_axis(voxels, filled.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    normals = np.append(_normals(solid).reshape(-1, 3), np.zeros((1, 3), np.float32), axis=0)
    cosine = np.einsum("vhwc,vc->vhw", normals[first], to_cameras)
    brightness = _AMBIENT + (1 - _AMBIENT) * np.maximum(cosine, 0)
    return (255 * brightness * seen).round().astype(np.uint8), 255 * seen.astype(np.uint8)


def _normals(solid: Solid) -> Floats:
    """Directions out of the solid, length one, shape (SIDE, SIDE, SIDE, 3) of right, front, up."""
    up, front, right = np.gradient(solid.astype(np.float32))
    outwards = -np.stack([right, front, up], axis=-1)
    normals: Floats = outwards / np.maximum(np.linalg.norm(outwards, axis=-1, keepdims=True), 1e-6)
    return normals


def _nearest_voxels() -> Indices:
    """Flat index of the voxel at each point of the frustums, SIDE³ outside the cube."""
    right, front, up = np.moveaxis(np.floor((frustums() + 0.5) * SIDE).astype(np.intp), -1, 0)
    inside = np.logical_and.reduce([(axis >= 0) & (axis < SIDE) for axis in (up, front, right)])
    return np.where(inside, (up * SIDE + front) * SIDE + right, SIDE**3)


def _camera_axes(views: int) -> Floats:
    """What is right, up and towards the viewer for each camera, shape (views, 3, 3)."""
    angle = np.arange(views) * 2 * np.pi / views
    sine, cosine, zero = np.sin(angle), np.cos(angle), np.zeros(views)
    across, upright = np.cos(_ELEVATION), np.sin(_ELEVATION)
    right = np.stack([-cosine, sine, zero], axis=-1)
    up = np.stack([-upright * sine, -upright * cosine, zero + across], axis=-1)
    back = np.stack([across * sine, across * cosine, zero + upright], axis=-1)
    return np.stack([right, up, back], axis=1).astype(np.float32)
