"""The speech synthesiser eSpeak NG, through its C library."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets import DataAbsent
from pytest_aibench.errors import UserError

RATE_HZ = 22050

Sound = npt.NDArray[np.int16]

_SYNCHRONOUS = 2
_WORDS_PER_MINUTE, _PITCH = 1, 3
_UTF8 = 1
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Synthesiser:
    """The library's only instance, with its data.

    It is seeded, so a process says the same things in the same order alike; but what it says
    depends a little on what it said before.

    Raises:
        DataAbsent: espeakng-loader is not installed, or its library does not load here.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader  # type: ignore[import-untyped]

            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except (ImportError, OSError) as error:
            raise DataAbsent(
                f"speech needs espeakng-loader ({error}): pip install 'pytest-aibench[suite]', "
                "on a system that it has a wheel for"
            ) from None
        self._chunks: list[Sound] = []
        self._callback = _Callback(self._take)  # the library keeps only a pointer to it
        folder = espeakng_loader.get_data_path().encode()
        self._library.espeak_Initialize(_SYNCHRONOUS, 0, folder, 0)
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))

    def say(self, text: str, *, voice: str, words_per_minute: int, pitch: int) -> Sound:
        """Speech as int16 samples at 22 050 Hz.

        Args:
            text: What to say.
            voice: An accent with a variant, like ``en-us+f2``.
            words_per_minute: From 80 to 450.
            pitch: From 0 to 99.

        Raises:
            UserError: There is no such voice.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"eSpeak NG has no voice {voice!r}")
        self._library.espeak_SetParameter(_WORDS_PER_MINUTE, words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        self._chunks.clear()
        spoken = text.encode()
        self._library.espeak_Synth(
            spoken, ctypes.c_size_t(len(spoken) + 1), 0, 0, 0, _UTF8, None, None
        )
        return np.concatenate(self._chunks)

    def _take(self, samples: Any, count: int, events: int) -> int:
        if count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


@cache
def synthesiser() -> Synthesiser:
    """The one that this process has."""
    return Synthesiser()
