"""What the benchmarks of one process share: devices, settings, records on their way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import cached_property, partial
from typing import Any

import pytest

from pytest_aibench.devices import Device, check_precision, exclusive, resolve
from pytest_aibench.entries import inference_fields, training_fields
from pytest_aibench.errors import UserError
from pytest_aibench.inference.runner import LoadGenerator, ReferenceMemory
from pytest_aibench.item_records import ItemRecords
from pytest_aibench.loadgen.effort import effort_named
from pytest_aibench.marks import check_marks
from pytest_aibench.options import Settings
from pytest_aibench.report.progress import Progress, open_terminal, show_line
from pytest_aibench.results.environment import machine_state
from pytest_aibench.results.schema import BenchmarkEntry, to_json
from pytest_aibench.results.store import check_store
from pytest_aibench.training.runner import Trainer

WAIT_FOR_DEVICE_S = 3600.0
"""Another benchmark's training may hold the device for long."""

_RECORDS = pytest.StashKey[ItemRecords]()
_HELD = pytest.StashKey[ExitStack]()
_PROGRESS = pytest.StashKey[Progress]()


class BenchmarkSession:
    """The benchmarks of one process, the only one or a worker of xdist."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._memory: ReferenceMemory = {}
        self._state_before: dict[str, Any] | None = None

    @cached_property
    def devices(self) -> dict[str, Device]:
        """The devices that were asked for, by id."""
        return {device.id: device for device in resolve(self._settings.device)}

    def check_devices(self) -> None:
        """Check that the devices and precisions that were asked for are there.

        Raises:
            UserError: One is not.
        """
        for precision in self._precisions:
            _check_some(self.devices.values(), precision)

    def check_store(self) -> None:
        """Check that a record could be kept.

        Raises:
            UserError: It could not.
        """
        if self._settings.store is not None:
            check_store(self._settings.store)

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Run a benchmark once for each device and, where it asks for it, each precision."""
        check_marks(metafunc)
        self.check_devices()
        devices = list(self.devices)
        metafunc.parametrize("aibench_device", devices, indirect=True, scope="session")
        if "aibench_precision" in metafunc.fixturenames:
            precisions = self._precisions
            metafunc.parametrize("aibench_precision", precisions, indirect=True, scope="session")

    def device(self, name: str) -> Device:
        """The device of that id."""
        return self.devices[name]

    def precision(self, name: str, device: Device) -> str:
        """The precision, if the device has it; otherwise the test is skipped."""
        try:
            check_precision(device, name)
        except UserError as error:
            pytest.skip(str(error))
        return name

    def begin(self, item: pytest.Item) -> None:
        """Have the item's device alone until `end`."""
        device = self.devices[item.callspec.params["aibench_device"]]  # type: ignore[attr-defined]
        item.stash[_RECORDS] = ItemRecords(item, device, self._settings.inconclusive)
        held = item.stash[_HELD] = ExitStack()
        say = partial(show_line, item.config)
        held.enter_context(exclusive(device.id, WAIT_FOR_DEVICE_S, uuid=device.uuid, say=say))
        if self._state_before is None:
            self._state_before = machine_state()
        device.reset_peak_memory()

    def end(self, item: pytest.Item) -> None:
        """Let others have the item's device."""
        if _HELD in item.stash:
            item.stash[_HELD].close()

    def load_generator(self, item: pytest.Item, device: Device) -> LoadGenerator:
        """What the ``loadgen`` fixture gives."""
        return LoadGenerator(
            effort=effort_named(self._settings.effort),
            settle=partial(item.stash[_RECORDS].settle, inference_fields),
            memory=self._memory,
            synchronize=None if device.kind == "cpu" else device.synchronize,
            progress=self._progress(item),
            audit=self._settings.audit,
        )

    def trainer(self, item: pytest.Item, device: Device) -> Trainer:
        """What the ``trainer`` fixture gives."""
        return Trainer(
            device=device,
            scale=self._settings.scale,
            settle=partial(item.stash[_RECORDS].settle, training_fields),
        )

    def attach(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        """Put the item's records on its report, and take its progress line off the terminal."""
        if _PROGRESS in item.stash:
            item.stash[_PROGRESS].close()
        entries = item.stash[_RECORDS].reported(call, report)
        if entries:
            report.__dict__["aibench"] = self._payload(entries)

    def interrupted(self, item: pytest.Item) -> dict[str, Any]:
        """The records of an item that was interrupted."""
        return self._payload(item.stash[_RECORDS].interrupted())

    @property
    def _precisions(self) -> list[str]:
        spec = self._settings.precision
        if spec == "all":
            every = [name for device in self.devices.values() for name in device.precisions]
            return list(dict.fromkeys(every))
        return list(dict.fromkeys(word.strip() for word in spec.split(",")))

    def _progress(self, item: pytest.Item) -> Callable[[int, float], None] | None:
        terminal = open_terminal(item.config)
        if terminal is None:
            return None
        item.addfinalizer(terminal.close)
        progress = Progress(terminal, item.name, effort_named(self._settings.effort).budget_s)
        item.stash[_PROGRESS] = progress
        item.addfinalizer(progress.close)
        return progress.update

    def _payload(self, entries: list[BenchmarkEntry]) -> dict[str, Any]:
        # xdist carries plain values only, and users may give provenance of any kind.
        plain = json.loads(json.dumps(to_json(entries), default=str))
        return {"benchmarks": plain, "state_before": self._state_before}


def _check_some(devices: Iterable[Device], precision: str) -> None:
    """Raise what `check_precision` says if no device has the precision."""
    errors = []
    for device in devices:
        try:
            check_precision(device, precision)
        except UserError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
