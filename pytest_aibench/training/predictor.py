"""The three phases of inference for models that take one tensor and give one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.training.task import Predictor

if TYPE_CHECKING:
    from torch import Tensor, nn
import copy
from typing import TYPE_CHECKING

from pytest_aibench.devices import Device, check_precision
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    import torch


class TensorPredictor:
    """Stacks samples of one shape into a batch, and gives back one array for each sample.

    Raises:
        UserError: The device does not support the precision.
    """

    def __init__(self, model: nn.Module, device: Device, precision: str) -> None:
        self._model = cast(model, device, precision).eval()
        self._device = device.torch_device()
        self._dtype = dtype(precision)

    def preprocess(self, samples: Sequence[npt.NDArray[Any]]) -> Tensor:
        """Stack samples of shape (...) to a tensor of shape (n, ...) on the device."""
        import torch

        return torch.from_numpy(np.stack(samples)).to(self._device, self._dtype)

    def infer(self, inputs: Tensor) -> Tensor:
        """Run the model without gradients."""
        import torch

        with torch.inference_mode():
            outputs: Tensor = self._model(inputs)
        return outputs

    def postprocess(self, raw: Tensor) -> list[npt.NDArray[np.float32]]:
        """Split the outputs into one float32 array for each sample."""
        return list(raw.float().cpu().numpy())


def predict(
    predictor: Predictor, samples: Sequence[npt.NDArray[Any]], batch_size: int
) -> list[Any]:
    """Answer all samples in order, ``batch_size`` at a time."""
    outputs: list[Any] = []
    for first in range(0, len(samples), batch_size):
        batch = samples[first : first + batch_size]
        outputs += predictor.postprocess(predictor.infer(predictor.preprocess(batch)))
    return outputs


def dtype(precision: str) -> torch.dtype:
    """The type of weights and inputs in ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        UserError: No type stands for the precision.
    """
    import torch

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision not in dtypes:
        raise UserError(f"no model can be cast to precision {precision!r}: use {', '.join(dtypes)}")
    return dtypes[precision]


def cast(model: nn.Module, device: Device, precision: str) -> nn.Module:
    """Bring a model to a device and a precision; a reduced precision works on a copy.

    Raises:
        UserError: No type stands for the precision, or the device does not have it.
    """
    target = dtype(precision)
    check_precision(device, precision)
    mine = model if precision == "fp32" else copy.deepcopy(model)
    return mine.to(device.torch_device(), target)
