"""Wheels for tests, and the carriers that they are."""

from __future__ import annotations

import hashlib
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


def carrier_of(wheel: Path) -> Carrier:
    """The carrier that a wheel is."""
    name, version, *_ = wheel.name.split("-")
    return Carrier(
        name=name,
        version=version,
        file=wheel.name,
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        size_mb=1.5,
        licence="CC0-1.0",
        source=f"{name} {version}, made for a test",
    )
