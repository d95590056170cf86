"""Spectrograms of speech: how loud each band of frequencies is in each hundredth of a second."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from benchmarks.components.speech_recognition.espeak import RATE_HZ

BANDS = 40
HOP = 256
"""Samples from one frame to the next: 11.6 ms at 22 050 Hz."""

_WINDOW = 512
_LOUDEST = 32768
_FLOOR = 1e-6


def spectrograms(speech: Tensor) -> Tensor:
    """Logarithms of the power in bands, (n, 1, 40, t), of int16 samples (n, 256 t).

    Windows of 23 ms under Hamming's; the bands are as wide as the ear's (mel). Each utterance is
    brought to a mean of 0 and a deviation of 1.
    """
    spectra = torch.stft(
        speech.float() / _LOUDEST,
        _WINDOW,
        HOP,
        window=torch.hamming_window(_WINDOW, device=speech.device),
        return_complex=True,
    )
    power = spectra[:, :, : speech.shape[1] // HOP].abs().square()
    loudness = (bands().to(speech.device) @ power + _FLOOR).log()
    mean, deviation = loudness.mean(dim=(1, 2)), loudness.std(dim=(1, 2))
    return ((loudness - mean[:, None, None]) / deviation[:, None, None]).unsqueeze(1)


def frames(speech: Tensor, hop: int = HOP) -> Tensor:
    """Frames of each utterance (n,), without those of the zeros that fill up its samples."""
    place = torch.arange(1, speech.shape[1] + 1, device=speech.device)
    return -(-((speech != 0) * place).amax(dim=1) // hop)


@cache
def bands() -> Tensor:
    """Triangles over the spectrum's frequencies, evenly spread in mel, shape (40, 257)."""
    most = 2595 * torch.log10(torch.tensor(1 + RATE_HZ / 2 / 700))
    corners_hz = 700 * (10 ** (torch.linspace(0, float(most), BANDS + 2) / 2595) - 1)
    hz = torch.linspace(0, RATE_HZ / 2, _WINDOW // 2 + 1)
    low, centre, high = (corners_hz[i : i + BANDS, None] for i in range(3))
    rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
    return torch.minimum(rising, falling).clamp(min=0)
