"""Weights that a training begins with, from a file that a user mounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmarks.components._folders import mounted_at
from pytest_aibench.errors import UserError
from pytest_aibench.training import Learner, Supervised

if TYPE_CHECKING:
    from pytest_aibench.training.distributed import Loss


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights.

    Attributes:
        file: Its name below the mounted folder.
        title: Name for people.
    """

    file: str
    title: str


RESNET50 = Weights("weights/resnet50.pth", "torchvision's weights of ResNet-50")
RESNET152 = Weights("weights/resnet152.pth", "torchvision's weights of ResNet-152")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pretrained(Supervised):
    """Makes the ordinary learner of a model that begins with weights of another training.

    Attributes:
        trunk: The part of a model that the weights are of.
        weights: Where they are.
    """

    trunk: Callable[[nn.Module], nn.Module]
    weights: Weights

    def __call__(
        self,
        model: nn.Module,
        steps: int,
        around: Callable[[Loss, nn.Module], Loss] | None = None,
        *,
        scales: bool = False,
    ) -> Learner:
        """The learner of a model, as `Supervised` makes it.

        Raises:
            DataAbsent: The file is not there.
            UserError: It holds the weights of another model.
        """
        begin_with(self.trunk(model), mounted_at(self.weights.file, self.weights.title))
        return Supervised.__call__(self, model, steps, around, scales=scales)


def begin_with(trunk: nn.Module, path: Path) -> None:
    """Give a network the weights in a file, one by one in their order, whatever their names.

    What is left over in the file is of layers that the network does not have. Where a layer takes
    more channels than the file's, the others keep their weights.

    Raises:
        UserError: They are of another network.
    """
    given = _numbers(torch.load(path, map_location="cpu", weights_only=True))
    own = _numbers(trunk.state_dict())
    pairs = [(_shared(mine, theirs), theirs) for mine, theirs in zip(own, given, strict=False)]
    if len(pairs) < len(own) or any(mine.shape != theirs.shape for mine, theirs in pairs):
        raise UserError(f"{path} has the weights of another model: see docs/original-data.md")
    for mine, theirs in pairs:
        mine.copy_(theirs)


def _shared(mine: Tensor, theirs: Tensor) -> Tensor:
    """What of a layer's weights is for channels that the other's are for, too."""
    return mine[:, : theirs.shape[1]] if mine.ndim == theirs.ndim > 2 else mine


def _numbers(state: dict[str, Tensor]) -> list[Tensor]:
    """Weights and statistics; how many batches were seen is not in every file."""
    return [value for name, value in state.items() if not name.endswith("num_batches_tracked")]
