"""Whether torch can be used here, and what to tell the user if not."""

from __future__ import annotations

from importlib import import_module


def why_no_torch() -> str:
    """The reason why torch cannot be imported; empty when it can."""
    try:
        import_module("torch")
    except ImportError as error:
        if error.name == "torch":
            return "torch is not installed (pip install 'pytest-aibench[torch]')"
        return f"torch cannot be imported ({error})"
    except OSError as error:
        # A shared library of torch that does not load, as with a half-removed CUDA package.
        return f"torch cannot be imported ({error})"
    return ""
