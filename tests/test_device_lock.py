"""The lock that gives one benchmark a device alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_aibench.devices import exclusive, lock
from pytest_aibench.errors import UserError
from tests.fakes import FakeClock

HOLDER = """
import sys
from pytest_aibench.devices.lock import exclusive
with exclusive("cuda:0", 0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    fake = SimpleNamespace(monotonic=clock.seconds, sleep=clock.sleep)
    monkeypatch.setattr(lock, "time", fake)
    return clock


@contextmanager
def another_process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def message(device_id: str, timeout_s: float, uuid: str | None = None) -> str:
    with pytest.raises(UserError) as raised, exclusive(device_id, timeout_s, uuid=uuid):
        pass
    return str(raised.value)


def test_another_process_is_named_and_its_death_frees_the_device() -> None:
    with another_process() as process:
        assert message("cuda:0", 0) == (
            f"device 'cuda:0' is in use by process {process.pid}: waited 0 s; "
            "run one benchmark session per device, or choose another device"
        )
        process.kill()
        process.wait()
        with exclusive("cuda:0", 0):
            pass


def test_the_wait_ends_at_the_deadline(clock: FakeClock) -> None:
    with exclusive("cuda:0", 0):
        assert "waited 2.5 s" in message("cuda:0", 2.5)
    assert 2.5 <= clock.seconds() < 2.5 + 2 * lock._POLL_S


def test_the_wait_ends_when_the_holder_leaves(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = ExitStack()
    holder.enter_context(exclusive("cuda:0", 0))

    def leave_after_1_s(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.seconds() >= 1:
            holder.close()

    fake = SimpleNamespace(monotonic=clock.seconds, sleep=leave_after_1_s)
    monkeypatch.setattr(lock, "time", fake)
    with exclusive("cuda:0", 10):
        assert 1 <= clock.seconds() < 1 + 2 * lock._POLL_S


def test_devices_do_not_hinder_each_other() -> None:
    with exclusive("cuda:0", 0), exclusive("cuda:1", 0), exclusive("cpu", 0):
        pass


def test_one_unit_under_two_names_is_one_device() -> None:
    with exclusive("cuda:1", 0, uuid="GPU-1"):
        assert "device 'cuda:0' is in use" in message("cuda:0", 0, uuid="GPU-1")
        with exclusive("cuda:1", 0, uuid="GPU-2"):
            pass


def test_a_failing_benchmark_frees_the_device() -> None:
    with pytest.raises(ZeroDivisionError), exclusive("cpu", 0):
        raise ZeroDivisionError
    with exclusive("cpu", 0):
        pass


def test_a_child_that_outlives_the_block_does_not_keep_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inherited: list[int] = []
    real = os.open

    def open_and_fork(path: str, *rest: int) -> int:
        descriptor = real(path, *rest)
        # A forked child shares the open file just like a duplicate does.
        inherited.append(os.dup(descriptor))
        return descriptor

    with monkeypatch.context() as patch:
        patch.setattr("os.open", open_and_fork)
        with exclusive("cpu", 0):
            pass
    with exclusive("cpu", 0):
        pass
    os.close(*inherited)


def test_what_the_file_says_does_not_matter(own_folder: Path) -> None:
    with exclusive("cpu", 0):
        pass
    (file,) = own_folder.glob("aibench-*.lock")
    assert file.read_text() == ""
    file.write_text(str(os.getpid()))
    with exclusive("cpu", 0):
        assert file.read_text() == str(os.getpid())
        file.write_text("no number")
        assert "in use by another process" in message("cpu", 0)


def test_a_dead_holder_is_not_named(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.pid_exists", lambda pid: False)
    with exclusive("cpu", 0):
        assert "in use by another process" in message("cpu", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has a folder per user")
def test_another_users_file_can_be_locked(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    umask = os.umask(0o077)
    with exclusive("cpu", 0):
        pass
    os.umask(umask)
    (file,) = own_folder.glob("aibench-*.lock")
    assert file.stat().st_mode & 0o777 == 0o644
    real = os.open

    def open_as_stranger(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(path)
        return real(path, flags, *rest)

    monkeypatch.setattr("os.open", open_as_stranger)
    with exclusive("cpu", 0):
        assert "in use by another process" in message("cpu", 0)


def test_waiting_names_the_holder_once() -> None:
    said: list[str] = []
    with (
        exclusive("cpu", 0, uuid="one"),
        pytest.raises(UserError),
        exclusive("cpu", 0.25, uuid="one", say=said.append),
    ):
        pass
    assert said == [f"waiting for device cpu, in use by process {os.getpid()}"]
    with exclusive("cpu", 0, uuid="one", say=said.append):
        assert len(said) == 1
