"""Spectrograms as AIBench's code makes them: linear in frequency, of utterances of any length."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.components.speech_recognition.spectrogram import frames

BANDS = 161
HOP = 160
"""Samples from one frame to the next: 10 ms at 16 kHz."""

_WINDOW = 320
_LOUDEST = 32768


class Spectrograms(NamedTuple):
    """A batch of utterances.

    Attributes:
        images: Shape (n, 1, 161, t), as long as the longest; zeros behind the others.
        frames: How many frames of each are speech, (n,).
    """

    images: Tensor
    frames: Tensor


def spectrograms(speech: Tensor) -> Spectrograms:
    """Logarithms of one and the amplitude, of int16 samples (n, m) with zeros behind.

    Windows of 20 ms under Hamming's. Each utterance is brought to a mean of 0 and a deviation of 1.
    """
    lengths = frames(speech, HOP)
    longest = int(lengths.max())
    spectra = torch.stft(
        speech[:, : longest * HOP].float() / _LOUDEST,
        _WINDOW,
        HOP,
        window=torch.hamming_window(_WINDOW, device=speech.device),
        return_complex=True,
    )
    there = (torch.arange(longest, device=speech.device) < lengths[:, None])[:, None]
    loudness = spectra[:, :, :longest].abs().log1p() * there
    count = (BANDS * lengths)[:, None, None]
    mean = loudness.sum(dim=(1, 2), keepdim=True) / count
    apart = (loudness - mean) * there
    deviation = (apart.square().sum(dim=(1, 2), keepdim=True) / (count - 1)).sqrt()
    return Spectrograms((apart / deviation).unsqueeze(1), lengths)
