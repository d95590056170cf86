"""What the benchmarks of one process share: devices, settings, records on their way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_aibench.bounds import Bound
from pytest_aibench.bounds_file import BenchmarkBounds, learn_figures
from pytest_aibench.datasets.base import mounting
from pytest_aibench.datasets.carriers import announcing
from pytest_aibench.devices import Device, check_precision, exclusive, resolve
from pytest_aibench.entries import inference_fields, training_fields
from pytest_aibench.errors import UserError
from pytest_aibench.gatekeeper import Gatekeeper
from pytest_aibench.inference.job import Mode
from pytest_aibench.inference.peak_result import PeakRun
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.inference.runner import LoadGenerator, ReferenceMemory
from pytest_aibench.item_records import ItemRecords
from pytest_aibench.loadgen.effort import effort_named
from pytest_aibench.marks import check_marks
from pytest_aibench.messages import BenchmarkFailed
from pytest_aibench.options import Settings
from pytest_aibench.outcome import Outcome, Required
from pytest_aibench.report.progress import Progress, open_terminal
from pytest_aibench.results.environment import collect, machine_state
from pytest_aibench.results.identity import benchmark_id, hardware_class
from pytest_aibench.results.locations import open_store
from pytest_aibench.results.schema import BenchmarkEntry, Environment, Metric, to_json
from pytest_aibench.results.store import keep_samples
from pytest_aibench.telemetry.canary import measure_canaries
from pytest_aibench.telemetry.watch import Watch
from pytest_aibench.training.checkpoints import States
from pytest_aibench.training.convergence import FEWEST_SEEDS, References, read_references
from pytest_aibench.training.distributed import Processes
from pytest_aibench.training.runner import Trainer

if TYPE_CHECKING:
    from pytest_aibench.loadgen.mlperf_conf import Conf

WAIT_FOR_DEVICE_S = 3600.0
"""Another benchmark's training may hold the device for long."""

_RECORDS = pytest.StashKey[ItemRecords]()
_PROGRESS = pytest.StashKey[Progress]()


class BenchmarkSession:
    """The benchmarks of one process, the only one or a worker of xdist."""

    def __init__(self, settings: Settings, rootdir: Path, say: Callable[[str], None]) -> None:
        """A session with its settings; ``say`` shows a line at once."""
        self._settings = settings
        self._launch = settings.launch
        self._rootdir = rootdir
        self._say = _ignore if settings.launch.follows else say
        self._held = ExitStack()
        self._memory: ReferenceMemory = {}
        self._state_before: dict[str, Any] | None = None
        self._canaries: dict[str, Metric] = {}

    @cached_property
    def devices(self) -> dict[str, Device]:
        """The devices that were asked for, by id; each process of torchrun has another GPU."""
        devices = resolve(self._settings.device)
        if self._launch.processes == 1:
            return {device.id: device for device in devices}
        if len(devices) > 1:
            raise UserError(
                "several processes train on one kind of device: use --device cuda or cpu"
            )
        (first,) = devices
        if first.kind == "cpu":
            return {first.id: first}
        return {first.id: resolve(f"{first.kind}:{self._launch.local_rank}")[0]}

    @cached_property
    def _processes(self) -> Processes | None:
        """The processes that torchrun started; None where this one is alone."""
        launch = self._launch
        return Processes(launch.rank, launch.processes) if launch.processes > 1 else None

    def check_alike(self, items: Iterable[pytest.Item]) -> None:
        """Check that the processes of torchrun run the same benchmarks.

        Raises:
            UserError: They do not.
        """
        if self._processes is not None:
            self._processes.check_alike([item.nodeid for item in items])

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
            open_store(self._settings.store).check()

    def user_conf(self) -> Conf | None:
        """LoadGen's ``user.conf``, if one is named.

        Raises:
            UserError: It cannot be read.
        """
        if self._settings.user_conf is None:
            return None
        from pytest_aibench.loadgen.mlperf_conf import read_conf

        return read_conf(self._settings.user_conf)

    def check_mlperf(self) -> None:
        """Check that ``user.conf`` is right and that MLPerf's logs could be written.

        Raises:
            UserError: It is not, or they could not.
        """
        self.user_conf()
        if self._settings.mlperf_logs is not None:
            from pytest_aibench.loadgen.mlperf_logs import check_log_folder

            check_log_folder(self._settings.mlperf_logs)

    @cached_property
    def references(self) -> References | None:
        """How many epochs tasks take elsewhere, if a file is named.

        Raises:
            UserError: It cannot be read.
        """
        return None if self._settings.rcp is None else read_references(self._settings.rcp)

    @cached_property
    def _states(self) -> States | None:
        """Where trainings go on from; None where no state is kept."""
        return States() if self._settings.resume else None

    def check_training(self) -> None:
        """Check what trainings need: Pillow for pictures, and seeds to hold against references.

        Raises:
            UserError: Something is missing.
        """
        if self._settings.pictures is not None and find_spec("PIL") is None:
            raise UserError("--aibench-pictures needs Pillow: pip install pillow")
        if self.references is not None and self._settings.seeds < FEWEST_SEEDS:
            raise UserError("--aibench-rcp takes three seeds or more: add --aibench-seeds=5")

    def check_data(self) -> None:
        """Check that the folder of original data sets is there, if one is named.

        Raises:
            UserError: It is not.
        """
        folder = self._settings.data
        if folder is not None and not folder.is_dir():
            raise UserError(f"--aibench-data={folder}: there is no such folder")

    @cached_property
    def gatekeeper(self) -> Gatekeeper | None:
        """Compares with the history, if that is asked for; what is calibrated sets out anew."""
        settings = self._settings
        if not settings.compare or settings.store is None or settings.calibrate:
            return None
        return Gatekeeper(
            settings.store,
            self._rootdir,
            ref=settings.compare,
            vary=settings.vary,
            harness=settings.harness(),
            group=settings.group,
            say=self._say,
        )

    def check_history(self) -> None:
        """Check that the baseline can be found, if a comparison is asked for.

        Raises:
            UserError: It cannot.
        """
        if self.gatekeeper is not None:
            self.gatekeeper.check_source()

    def close(self) -> None:
        """Let go of the history, the other processes, and what an interrupted benchmark held."""
        self._held.close()
        if self.gatekeeper is not None:
            self.gatekeeper.close()
        if self._processes is not None:
            self._processes.close()

    def compare(self, item: pytest.Item, n_benchmarks: int) -> None:
        """Hold a benchmark that has passed against its history; it may run once more."""
        __tracebackhide__ = True
        if self.gatekeeper is not None:
            records = item.stash[_RECORDS]
            again = partial(measure_canaries, self._device_of(item))
            self.gatekeeper.check(records, self._canaries, n_benchmarks, again)

    def calibrate(self, item: pytest.Item) -> None:
        """Run a benchmark as often as its bounds are to be learnt from, if it asks for any."""
        records = item.stash[_RECORDS]
        if self._settings.calibrate and any(one.uncalibrated for one in records.outcomes):
            for _ in range(self._settings.calibrate - 1):
                records.repeated()

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

    def _device_of(self, item: pytest.Item) -> Device:
        return self.devices[item.callspec.params["aibench_device"]]  # type: ignore[attr-defined]

    def precision(self, name: str, device: Device) -> str:
        """The precision, if the device has it; otherwise the test is skipped."""
        try:
            check_precision(device, name)
        except UserError as error:
            pytest.skip(str(error))
        return name

    def begin(self, item: pytest.Item) -> None:
        """Have the item's device alone until `end`; leave it to the first process, if it loads."""
        device = self._device_of(item)
        if self._launch.follows and not _trains(item):
            pytest.skip("only the first process of torchrun runs this: it is no training")
        watch = Watch(device)
        item.stash[_RECORDS] = ItemRecords(item, watch, self._settings.inconclusive)
        held = self._held
        held.enter_context(announcing(self._say))
        held.enter_context(mounting(self._settings.data))
        if not (self._launch.follows and device.kind == "cpu"):
            lock = exclusive(device.id, WAIT_FOR_DEVICE_S, uuid=device.uuid, say=self._say)
            held.enter_context(lock)
        if self._launch.follows:
            return
        if self._state_before is None:
            self._state_before = machine_state()
            self._canaries = measure_canaries(device)
        held.enter_context(watch.on())
        device.reset_peak_memory()

    def end(self) -> None:
        """Let others have the device that `begin` took."""
        self._held.close()

    def load_generator(self, item: pytest.Item, device: Device) -> LoadGenerator:
        """What the ``loadgen`` fixture gives."""
        progress = self._progress(item)
        return LoadGenerator(
            effort=effort_named(self._settings.effort),
            settle=partial(item.stash[_RECORDS].settle, self._inference_fields),
            memory=self._memory,
            synchronize=None if device.kind == "cpu" else device.synchronize,
            progress=None if progress is None else progress.update,
            say=self._say,
            audit=self._settings.audit,
            mode=Mode(self._settings.mode),
            user_conf=self.user_conf(),
            log_folders=self._log_folders(item),
            look_up=partial(self._look_up, item),
        )

    def trainer(self, item: pytest.Item, device: Device) -> Trainer:
        """What the ``trainer`` fixture gives."""
        progress = self._progress(item)
        settle = partial(item.stash[_RECORDS].settle, training_fields)
        return Trainer(
            device=device,
            scale=self._settings.scale,
            settle=_ignore if self._launch.follows else settle,
            seeds=self._settings.seeds,
            look_up=partial(self._look_up, item),
            progress=None if progress is None else progress.show,
            pictures=self._settings.pictures,
            references=self.references,
            energy=item.stash[_RECORDS].watch.energy,
            processes=self._processes if _trains(item) else None,
            states=self._states,
            compile=self._settings.compile,
        )

    def attach(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        """Put the item's records on its report, and take its progress line off the terminal."""
        if self._launch.follows:
            return
        if _PROGRESS in item.stash:
            item.stash[_PROGRESS].close()
        entries = item.stash[_RECORDS].reported(call, report)
        if entries:
            learnt = self._learnt(item) if self._settings.calibrate else []
            ended = [] if self._states is None else [*self._states.ended]
            payload = {**self._payload(entries), "learnt": learnt, "ended": ended}
            report.__dict__["aibench"] = payload

    def end_together(self, item: pytest.Item, excinfo: pytest.ExceptionInfo[Any]) -> None:
        """End the session of a process that failed: torchrun then ends the others, who wait."""
        launch = self._launch
        if launch.processes > 1 and not excinfo.errisinstance(BenchmarkFailed):
            item.session.shouldfail = (
                f"process {launch.rank} of {launch.processes} failed: the others end with it"
            )

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

    @cached_property
    def _environment(self) -> Environment:
        return collect(self._rootdir, self._settings.harness(), {})

    def _look_up(self, item: pytest.Item, bounds: Mapping[str, Bound]) -> Required:
        required = Required(bounds)
        if not any(bound.calibrated for bound in bounds.values()):
            return required
        return self._bounds_of(item).look_up(bounds)

    def _bounds_of(self, item: pytest.Item) -> BenchmarkBounds:
        entry = item.stash[_RECORDS].bare_entry()
        return BenchmarkBounds(
            root=self._rootdir,
            folder=item.path.parent / "bounds",
            hardware=hardware_class(self._environment, entry.device),
            benchmark=benchmark_id(entry),
            effort=self._settings.effort,
            scale=self._settings.scale,
            calibrating=self._settings.calibrate > 0,
        )

    def _learnt(self, item: pytest.Item) -> list[Any]:
        outcomes = item.stash[_RECORDS].outcomes
        if not any(outcome.uncalibrated for outcome in outcomes):
            return []
        figures = learn_figures(self._bounds_of(item), self._settings.calibrate, outcomes)
        return [to_json(figure) for figure in figures]

    def _inference_fields(self, result: LoadResult | PeakRun, outcome: Outcome) -> dict[str, Any]:
        fields, store = inference_fields(result, outcome), self._settings.store
        if self._settings.raw and store is not None and isinstance(result, LoadResult):
            latencies = {"latency_ns": result.load.latency_ns}
            fields["samples"] = keep_samples(open_store(store), latencies)
        return fields

    def _log_folders(self, item: pytest.Item) -> Iterator[Path] | None:
        if self._settings.mlperf_logs is None:
            return None
        from pytest_aibench.loadgen.mlperf_logs import log_folders

        return log_folders(self._settings.mlperf_logs, item.nodeid)

    def _progress(self, item: pytest.Item) -> Progress | None:
        """The item's one line on the terminal: it may both train and load."""
        if _PROGRESS in item.stash:
            return item.stash[_PROGRESS]
        terminal = None if self._launch.follows else open_terminal(item.config)
        if terminal is None:
            return None
        item.addfinalizer(terminal.close)
        progress = Progress(terminal, item.name, effort_named(self._settings.effort).budget_s)
        item.stash[_PROGRESS] = progress
        item.addfinalizer(progress.close)
        return progress

    def _payload(self, entries: list[BenchmarkEntry]) -> dict[str, Any]:
        # xdist carries plain values only, and users may give provenance of any kind.
        plain = json.loads(json.dumps(to_json(entries), default=str))
        before = {"state_before": self._state_before, "canaries": to_json(self._canaries)}
        return {"benchmarks": plain, **before}


def _trains(item: pytest.Item) -> bool:
    """Whether a benchmark is a training and nothing else."""
    names = set(item.fixturenames)  # type: ignore[attr-defined]
    return "aibench_trainer" in names and "aibench_loadgen" not in names


def _ignore(*_: object) -> None:
    """Show and keep nothing: the first process does."""


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
