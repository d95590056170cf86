"""From the words of ``--device`` to devices."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

from pytest_aibench.devices import cpu, cuda, mps, xpu
from pytest_aibench.devices.base import Device, Found
from pytest_aibench.errors import UserError

_FINDERS: dict[str, Callable[[], Found]] = {
    "cuda": cuda.find,
    "xpu": xpu.find,
    "mps": mps.find,
    "cpu": cpu.find,
}
"""By kind, in the order in which ``auto`` and ``all`` take them."""

_WORD = re.compile(rf"({'|'.join(_FINDERS)})(?::(\d+))?")


def resolve(spec: str) -> tuple[Device, ...]:
    """Find devices by name.

    Args:
        spec: ``auto`` (the first accelerator that works, else the processor), ``all``, a kind
            (``cpu``, ``cuda``, ``mps``, ``xpu``), a kind and a number (``cuda:1``), or a comma
            list of these.

    Returns:
        The devices in the order asked for, each once.

    Raises:
        UserError: A word is unknown, or its device is not there.
    """
    found = (device for word in spec.split(",") for device in _devices(word.strip()))
    return tuple({device.id: device for device in found}.values())


def _devices(word: str) -> tuple[Device, ...]:
    if word == "auto":
        return (_first_working(),)
    if word == "all":
        return _present()
    match = _WORD.fullmatch(word)
    if match is None:
        raise UserError(
            f"device {word!r} is unknown: use auto, all, {', '.join(_FINDERS)} or cuda:N; "
            f"available: {_available()}"
        )
    found = _FINDERS[match[1]]()
    index = int(match[2] or 0)
    if index >= len(found.devices):
        why = found.why_none or f"the last one is {found.devices[-1].id}"
        raise UserError(f"device {word!r} is not available: {why}; available: {_available()}")
    return (found.devices[index],)


def _present() -> tuple[Device, ...]:
    return tuple(device for find in _FINDERS.values() for device in find().devices)


def _available() -> str:
    return ", ".join(device.id for device in _present())


def _first_working() -> Device:
    *accelerators, processor = _present()
    for device in accelerators:
        why_broken = _why_broken(device)
        if not why_broken:
            return device
        warnings.warn(
            f"device {device.id!r} is there but does not work: {why_broken}", stacklevel=3
        )
    return processor


def _why_broken(device: Device) -> str:
    """What a first computation says; a GPU may be too new for this torch, or taken."""
    import torch

    try:
        torch.ones(1, device=device.torch_device()).add(1).item()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return ""
