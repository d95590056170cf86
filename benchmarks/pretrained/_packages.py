"""Packages that only some pretrained models need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pytest_aibench.errors import Unsupported


def imported(module: str, model: str) -> Any:
    """A module of a package that reads or runs a model.

    Raises:
        Unsupported: The package is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise Unsupported(
            f"{model!r} needs {package}: pip install 'pytest-aibench[suite,pretrained]'"
        ) from None
