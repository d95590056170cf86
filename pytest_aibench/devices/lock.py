"""One benchmark at a time per device, across the processes and users of a machine.

The operating system holds the lock and drops it when the holder dies, so there is no stale lock.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_aibench.errors import UserError

_POLL_S = 0.1

if sys.platform == "win32":
    import msvcrt

    # Windows locks bytes against reading, so the lock lies far behind the holder's number.
    _LOCKED_BYTE = 1 << 20

    def try_lock(descriptor: int) -> bool:
        """Take the lock of an open file; whether nobody else has it."""
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Take the lock of an open file; whether nobody else has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def exclusive(
    device_id: str,
    timeout_s: float,
    *,
    uuid: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Have a device alone while the block runs.

    Args:
        device_id: The device's name in messages; with the host, its identity without ``uuid``.
        timeout_s: How long to wait for another holder.
        uuid: The physical unit, which other processes may number differently.
        say: Takes a line that tells whom it waits for, if it must wait.

    Raises:
        UserError: Another process held the device all the time.
    """
    descriptor = _open(_lock_file(device_id, uuid))
    try:
        if say is not None and not try_lock(descriptor):
            say(f"waiting for device {device_id}, in use by {_holder(descriptor)}")
        _wait(descriptor, device_id, timeout_s)
        _sign(descriptor, str(os.getpid()))
        try:
            yield
        finally:
            _sign(descriptor, "")
            _unlock(descriptor)
    finally:
        os.close(descriptor)


def _lock_file(device_id: str, uuid: str | None) -> Path:
    unit = uuid or f"{platform.node()}/{device_id}"
    key = hashlib.sha256(unit.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"aibench-{key}.lock"


def _open(path: Path) -> int:
    # A link that somebody laid in the shared folder must not lead the signature elsewhere.
    flags = getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags)
    except PermissionError:
        # Another user's file; it can be locked without the right to sign it.
        return os.open(path, os.O_RDONLY | flags)
    with suppress(OSError):
        # Other users must be able to open it, whatever the umask.
        os.chmod(path, 0o644)
    return descriptor


def _wait(descriptor: int, device_id: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not try_lock(descriptor):
        if time.monotonic() >= deadline:
            raise UserError(
                f"device {device_id!r} is in use by {_holder(descriptor)}: waited {timeout_s:g} s; "
                "run one benchmark session per device, or choose another device"
            )
        time.sleep(_POLL_S)


def _sign(descriptor: int, text: str) -> None:
    """Leave the holder's number for messages; the lock does not depend on it."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, text.encode())


def _holder(descriptor: int) -> str:
    import psutil

    os.lseek(descriptor, 0, os.SEEK_SET)
    signature = os.read(descriptor, 32)
    if signature.isdigit() and psutil.pid_exists(int(signature)):
        return f"process {int(signature)}"
    return "another process"
