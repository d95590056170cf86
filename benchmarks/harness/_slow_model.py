"""A pytest plugin that makes the suite's models slower by a known share, for the gate to catch.

``SLOWDOWN=0.1`` adds a busy loop of a tenth of the time that each call took.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_aibench.training.predictor import TensorPredictor


def pytest_configure(config: pytest.Config) -> None:
    """Put the slow model in place of the suite's."""
    share = float(os.environ["SLOWDOWN"])
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    slow = _Slow(share, TensorPredictor.preprocess, TensorPredictor.postprocess)
    patch.setattr(TensorPredictor, "preprocess", lambda model, samples: slow.begin(model, samples))
    patch.setattr(TensorPredictor, "postprocess", lambda model, raw: slow.end(model, raw))


class _Slow:
    """Times a call from its first phase to its last, and prolongs it."""

    def __init__(self, share: float, preprocess: Any, postprocess: Any) -> None:
        self._share = share
        self._preprocess = preprocess
        self._postprocess = postprocess
        self._began_s = 0.0

    def begin(self, model: TensorPredictor, samples: Sequence[Any]) -> Any:
        self._began_s = time.perf_counter()
        return self._preprocess(model, samples)

    def end(self, model: TensorPredictor, raw: Any) -> Any:
        outputs = self._postprocess(model, raw)
        now_s = time.perf_counter()
        end_s = now_s + self._share * (now_s - self._began_s)
        while time.perf_counter() < end_s:
            pass
        return outputs
