"""What Whisper hears: how loud each of 80 bands is in each hundredth of a second of 30 s."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.components._recordings import RATE_HZ

SECONDS, BANDS, HOP = 30, 80, 160
_WINDOW = 400
_LOUDEST = 32768
_FLOOR, _RANGE = 1e-10, 8.0


def log_mel(sounds: Tensor) -> Tensor:
    """Log-mel spectrograms (n, 80, 3000) of int16 samples (n, t) at 16 kHz, 30 s at most.

    Powers are tenfold logarithms, at most eight below the loudest of the utterance, and brought to
    about -1 to 1 (Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022,
    section 2.2, and the code to it).
    """
    waves = functional.pad(sounds / _LOUDEST, (0, SECONDS * RATE_HZ - sounds.shape[1]))
    window = torch.hann_window(_WINDOW, device=sounds.device)
    spectra = torch.stft(waves, _WINDOW, HOP, window=window, return_complex=True)
    power = spectra[:, :, :-1].abs().square()
    loudness = (bands().to(sounds.device) @ power).clamp(min=_FLOOR).log10()
    least = loudness.amax(dim=(1, 2), keepdim=True) - _RANGE
    return (torch.maximum(loudness, least) + 4) / 4


@cache
def bands() -> Tensor:
    """Triangles over the spectrum's frequencies, each of the same area, shape (80, 201)."""
    corners_hz = _hz(np.linspace(0, _mel(RATE_HZ / 2), BANDS + 2))
    low, centre, high = (corners_hz[i : i + BANDS, np.newaxis] for i in range(3))
    hz = np.linspace(0, RATE_HZ / 2, _WINDOW // 2 + 1)
    triangles = np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre))
    return torch.from_numpy((triangles.clip(min=0) * 2 / (high - low)).astype(np.float32))


_LINEAR_HZ, _LINEAR_MEL, _HZ_PER_MEL = 1000.0, 15.0, 200 / 3
_LOG_STEP = np.log(6.4) / 27
"""Slaney's scale (Auditory Toolbox, 1998): linear up to 1 kHz, then 27 steps for a factor of 6.4.

The scale of the components' spectrograms is another, of one formula for all frequencies.
"""


def _mel(hz: float) -> float:
    """Above 1 kHz."""
    return float(_LINEAR_MEL + np.log(hz / _LINEAR_HZ) / _LOG_STEP)


def _hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = _LINEAR_HZ * np.exp((mel - _LINEAR_MEL) * _LOG_STEP)
    return np.where(mel < _LINEAR_MEL, mel * _HZ_PER_MEL, above)
