"""The three phases of inference for models that take one tensor and give one, and their cost."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.devices import Device, check_precision
from pytest_aibench.errors import Unsupported, UserError
from pytest_aibench.training.batches import Samples, in_order, tensors
from pytest_aibench.training.task import Batch, Predictor

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_FACTS = "aibench_quantization"


class TensorPredictor:
    """Stacks samples of one shape into a batch, and gives back one array for each sample.

    Raises:
        Unsupported: The precision is ``int8``, and the model has no layer for it.
        UserError: The device does not support the precision.
    """

    def __init__(self, model: nn.Module, device: Device, precision: str) -> None:
        self._model = cast(model, device, precision).eval()
        self._device = device
        self._dtype = dtype(precision)

    def preprocess(self, samples: Sequence[npt.NDArray[Any]]) -> Batch:
        """Stack samples of shape (...) to a batch of shape (n, ...) on the device.

        Fractional numbers get the model's `dtype`; integers are left as they are.
        """
        batch = tensors(np.stack(samples), self._device)
        if isinstance(batch, dict):
            return {name: self._reduced(values) for name, values in batch.items()}
        return self._reduced(batch)

    def infer(self, inputs: Batch) -> Tensor:
        """Run the model without gradients."""
        import torch

        with torch.inference_mode():
            outputs: Tensor = self._model(inputs)
        return outputs

    def postprocess(self, raw: Tensor) -> list[npt.NDArray[np.float32]]:
        """Split the outputs into one float32 array for each sample."""
        return list(raw.float().cpu().numpy())

    def _reduced(self, values: Tensor) -> Tensor:
        return values.to(self._dtype) if values.is_floating_point() else values


def predict(predictor: Predictor, samples: Samples, batch_size: int) -> list[Any]:
    """Answer all samples in order, ``batch_size`` at a time; few lazy ones are held at once."""
    outputs: list[Any] = []
    with closing(in_order(samples, batch_size)) as batches:
        for batch in batches:
            outputs += predictor.postprocess(predictor.infer(predictor.preprocess(batch)))
    return outputs


def macs(predictor: Predictor, sample: npt.NDArray[Any]) -> int | None:
    """Multiply-accumulates of answering one sample on the processor; None when none were seen."""
    return multiply_accumulates(lambda: predict(predictor, [sample], 1)) or None


def multiply_accumulates(forward: Callable[[], object]) -> int:
    """Those of what torch does in a call on the processor, or on the ``meta`` device.

    Counted are matrix products, convolutions, attention and recurrent layers, forward only; not
    what works element by element, and nothing outside of torch.
    """
    from torch.backends import mha
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False, custom_mapping=_uncounted())
    fused = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)  # One operation for a whole layer, which is not taken apart.
    try:
        with sdpa_kernel(SDPBackend.MATH), counter:
            forward()
    finally:
        mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() // 2


def _uncounted() -> dict[Any, Callable[..., int]]:
    """FLOPs, two for each multiply-accumulate, of operations that torch's counter passes over."""
    import torch

    aten = torch.ops.aten

    def recurrent(
        steps: Sequence[int], of_input: Sequence[int], of_state: Sequence[int], *_: Any, **__: Any
    ) -> int:
        """Both matrices of weights are applied once at each step of each sequence."""
        return 2 * math.prod(steps[:-1]) * (math.prod(of_input) + math.prod(of_state))

    def product(first: Sequence[int], *_: Any, **__: Any) -> int:
        return 2 * math.prod(first)

    return {aten.mkldnn_rnn_layer: recurrent, aten.mv: product, aten.dot: product}


def dtype(precision: str) -> torch.dtype:
    """The type of a model's fractional inputs, and of the weights that are not quantised.

    Models in ``int8`` take and give fp32.

    Raises:
        UserError: No type stands for the precision.
    """
    import torch

    dtypes = {
        "fp32": torch.float32,
        "bf16": torch.bfloat16,
        "fp16": torch.float16,
        "int8": torch.float32,
    }
    if precision not in dtypes:
        raise UserError(f"no model can be cast to precision {precision!r}: use {', '.join(dtypes)}")
    return dtypes[precision]


def cast(model: nn.Module, device: Device, precision: str) -> nn.Module:
    """Bring a model to a device and a precision; a reduced precision works on a copy.

    In ``int8`` linear and recurrent layers are quantised dynamically: weights once, activations at
    each call, by the range that they have in the whole batch. Everything else, subclasses of these
    layers and ``nn.MultiheadAttention`` too, stays fp32.

    Raises:
        Unsupported: The precision is ``int8``, and the model has no layer for it.
        UserError: No type stands for the precision, or the device does not have it.
    """
    target = dtype(precision)
    check_precision(device, precision)
    if precision == "int8":
        return _quantized(model)
    mine = model if precision == "fp32" else copy.deepcopy(model)
    return mine.to(device.torch_device(), target)


def quantization(predictor: Predictor) -> dict[str, Any]:
    """What `cast` has quantised of the model that a predictor holds, for the provenance.

    ``quantization`` has the number of ``layers``, the ``share_of_parameters`` that they hold, and
    torch's ``engine``. Empty where nothing is in int8, or the model is no attribute in `vars`.
    """
    parts = getattr(predictor, "__dict__", {}).values()
    facts = [part.__dict__[_FACTS] for part in parts if _FACTS in getattr(part, "__dict__", {})]
    return {"quantization": facts[0]} if facts else {}


def _quantized(model: nn.Module) -> nn.Module:
    import torch
    from torch import nn

    kinds = {nn.Linear, nn.LSTM, nn.LSTMCell, nn.GRU, nn.GRUCell}
    layers = sum(type(part) in kinds for part in model.modules())
    if not layers:
        raise Unsupported(
            f"{type(model).__name__} has nothing to compute in int8: torch quantises linear, LSTM "
            "and GRU layers dynamically, and it has none"
        )
    # Layers are replaced in what they are part of, and the model may be such a layer itself.
    (quantized,) = _quantize_dynamic(nn.Sequential(model), kinds)
    for part in quantized.modules():
        # torch's fused encoder layers would take the fp32 weights, which are gone.
        if isinstance(part, nn.TransformerEncoderLayer):
            part.activation_relu_or_gelu = 0
        elif isinstance(part, nn.TransformerEncoder):
            part.use_nested_tensor = False
    quantized.__dict__[_FACTS] = {
        "layers": layers,
        "share_of_parameters": round(1 - _n_parameters(quantized) / _n_parameters(model), 4),
        "engine": torch.backends.quantized.engine,
    }
    return quantized


def _quantize_dynamic(model: nn.Sequential, kinds: set[type[nn.Module]]) -> nn.Sequential:
    """A copy with layers of some kinds in int8.

    torch's own quantisation is deprecated in favour of torchao, which in version 0.18 takes twenty
    times as long as fp32 for small layers on a processor.
    """
    import torch

    try:
        from torch.ao.quantization import quantize_dynamic
    except ImportError:
        raise UserError(
            f"torch {torch.__version__} has no torch.ao.quantization.quantize_dynamic, which int8 "
            "needs: choose another precision, or torch 2.13"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized: nn.Sequential = quantize_dynamic(model, kinds)  # type: ignore[no-untyped-call]
    return quantized


def _n_parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters())
