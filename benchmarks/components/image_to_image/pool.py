"""Pictures that generators drew earlier, for discriminators to see again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Pool:
    """Keeps so many pictures, and gives them back in place of new ones now and then.

    So discriminators do not forget what they have learnt to tell (Shrivastava et al., Learning from
    Simulated and Unsupervised Images through Adversarial Training, 2017, section 2.3).

    Args:
        size: How many pictures it keeps; with none, new ones come back as they are.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[Tensor] = []

    def exchanged(self, drawn: Tensor) -> Tensor:
        """New pictures (n, 3, height, width), each of them exchanged for a kept one by chance."""
        return torch.stack([self._exchanged(picture) for picture in drawn])

    def _exchanged(self, picture: Tensor) -> Tensor:
        if len(self._kept) < self._size:
            self._kept.append(picture)
            return picture
        if not self._kept or random.random() < 0.5:
            return picture
        place = random.randrange(self._size)
        earlier, self._kept[place] = self._kept[place], picture
        return earlier.to(picture.device)

    def state_dict(self) -> dict[str, Any]:
        """The pictures that are kept."""
        return {"kept": self._kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep these pictures."""
        self._kept = list(state["kept"])
