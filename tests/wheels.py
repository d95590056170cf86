"""Wheels and source archives for tests, and the carriers that they are."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from zipfile import ZipFile

from pytest_aibench.datasets import Carrier


def make_wheel(
    folder: Path, file: str, *, numbers: str = "1 2 3", requires_python: str = ">=3"
) -> Path:
    """Write a wheel with one file of data; it has all that pip looks at."""
    name, version, *_ = file.split("-")
    about = f"{name}-{version}.dist-info"
    path = folder / file
    with ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/numbers.txt", numbers)
        wheel.writestr(
            f"{about}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            f"Requires-Python: {requires_python}\n",
        )
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        wheel.writestr(f"{about}/RECORD", "")
    return path


BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, settings=None):
    about = Path(folder, "{name}-{version}.dist-info")
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return about.name

def build_wheel(*_):
    raise SystemExit("nothing is to be built")
"""


def make_sdist(folder: Path, file: str, *, numbers: str = "1 2 3") -> Path:
    """Write a source archive with one file of data, and with what pip asks for its name."""
    stem = file.removesuffix(".tar.gz")
    name, version = stem.split("-")
    members = {
        f"{stem}/{name}/numbers.txt": numbers,
        f"{stem}/backend.py": BACKEND.format(name=name, version=version),
        f"{stem}/pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\n"
        "backend-path = ['.']\n",
        f"{stem}/PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }
    path = folder / file
    with tarfile.open(path, "w:gz") as sources:
        for member, text in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(text)
            sources.addfile(info, io.BytesIO(text.encode()))
    return path


def carrier_of(package: Path) -> Carrier:
    """The carrier that a wheel or a source archive is."""
    name, version, *_ = package.name.removesuffix(".tar.gz").split("-")
    return Carrier(
        name=name,
        version=version,
        file=package.name,
        sha256=hashlib.sha256(package.read_bytes()).hexdigest(),
        size_mb=1.5,
        licence="CC0-1.0",
        source=f"{name} {version}, made for a test",
    )
