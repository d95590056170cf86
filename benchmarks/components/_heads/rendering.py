"""Pictures of a mesh of quadrilaterals as a camera with a depth sensor sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_POINTS = 4
"""Points along the side of a quadrilateral: it is drawn as so many squared."""

_SAME_SURFACE_DM = 0.08
"""Points this little behind the foremost of their pixel belong to the surface it sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a head is looked at: by parallel projection, with one distant light.

    Attributes:
        yaw: Turn about the vertical axis in radians; 0 looks into the camera.
        pitch: Nod in radians.
        roll: Tilt to the shoulder in radians.
        pixels_per_dm: Scale of the picture.
        shift: Where the model's origin lies from the middle of the picture in pixels, right, up.
        light: Direction to the light, length 1.
        ambient: Share of the light that comes from everywhere.
    """

    yaw: float
    pitch: float
    roll: float
    pixels_per_dm: float
    shift: tuple[float, float]
    light: tuple[float, float, float]
    ambient: float


def render(
    vertices: Floats, faces: Indices, albedo: Floats, view: View, size: int
) -> tuple[Floats, Floats]:
    """Draw a mesh of vertices (n, 3), faces (m, 4) and albedo (n,) as `size` x `size` pixels.

    Returns:
        Intensity, 0 where there is nothing, and depth: z in the camera's frame, NaN there.
        A pixel shows the mean of the points of its foremost surface.
    """
    corners = (vertices @ _rotation(view).T)[faces]
    brightness = albedo[faces].mean(axis=1) * _shading(corners, view)
    points = (_WEIGHTS @ corners.transpose(1, 0, 2).reshape(4, -1)).reshape(-1, 3)
    middle = size / 2
    column = np.floor(middle + view.shift[0] + points[:, 0] * view.pixels_per_dm).astype(np.intp)
    row = np.floor(middle - view.shift[1] - points[:, 1] * view.pixels_per_dm).astype(np.intp)
    inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    pixel = (row * size + column)[inside]
    depth = points[inside, 2]
    foremost = np.full(size * size, -np.inf, np.float32)
    np.maximum.at(foremost, pixel, depth)
    seen = depth > foremost[pixel] - _SAME_SURFACE_DM
    count = np.bincount(pixel[seen], minlength=size * size)
    light = np.tile(brightness, _POINTS**2)[inside][seen]
    total = np.bincount(pixel[seen], light, minlength=size * size)
    intensity = total / np.maximum(count, 1)
    foremost[count == 0] = np.nan
    return intensity.astype(np.float32).reshape(size, size), foremost.reshape(size, size)


def _shading(corners: Floats, view: View) -> Floats:
    """Lambert's law for each face, (m, 4, 3) to (m,)."""
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    length = np.linalg.norm(normals, axis=1)
    cosine = normals @ np.asarray(view.light, np.float32) / np.maximum(length, 1e-9)
    shading: Floats = view.ambient + (1 - view.ambient) * np.maximum(cosine, 0)
    return shading


def _rotation(view: View) -> Floats:
    """First the roll about z, then the pitch about x, then the yaw about y."""
    return (_turn(view.yaw, 2, 0) @ _turn(view.pitch, 1, 2) @ _turn(view.roll, 0, 1)).astype(
        np.float32
    )


def _turn(angle: float, first: int, second: int) -> npt.NDArray[np.float64]:
    """Rotation that brings the first axis towards the second."""
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = np.cos(angle)
    matrix[second, first], matrix[first, second] = np.sin(angle), -np.sin(angle)
    return matrix


def _bilinear_weights() -> Floats:
    """Weights of a quadrilateral's corners at points inside it, shape (points, 4)."""
    along = (np.arange(_POINTS) + 0.5) / _POINTS
    u, v = (axis.ravel() for axis in np.meshgrid(along, along))
    return np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1).astype(np.float32)


_WEIGHTS = _bilinear_weights()
