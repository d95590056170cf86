"""What the captioner answers: how likely it finds a caption, and the one that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from benchmarks.components.image_to_text.data import LENGTH, WORDS, caption
from benchmarks.components.image_to_text.model import Captioner
from pytest_aibench.devices import Device
from pytest_aibench.training import Batch, TensorPredictor


class Answer(float):
    """Negative log-likelihood of the given caption in nats; with the caption the model writes."""

    caption = ""


def answer(nats: float, written: str) -> Answer:
    """A number that remembers a text."""
    number = Answer(nats)
    number.caption = written
    return number


class CaptionPredictor(TensorPredictor):
    """Scores the sample's caption, and writes one of its own, of so many of the words at most."""

    def __init__(
        self,
        model: nn.Module,
        device: Device,
        precision: str,
        *,
        words: Sequence[str] = WORDS,
        length: int = LENGTH,
    ) -> None:
        super().__init__(model, device, precision)
        self._words, self._length = words, length

    def infer(self, inputs: Batch) -> Tensor:
        """Nats and tokens, (n, 1 + length)."""
        captioner = cast("Captioner", self._model)
        with torch.inference_mode():
            seen = captioner.see(inputs["image"])
            nats = captioner.score(seen, inputs["caption"])
            return torch.column_stack((nats, captioner.write(seen, self._length)))

    def postprocess(self, raw: Tensor) -> list[Answer]:  # type: ignore[override]
        """One answer for each sample."""
        return [
            answer(nats, caption(map(int, tokens), self._words)) for nats, *tokens in raw.tolist()
        ]
