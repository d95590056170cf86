"""Where the files of a store lie: in a local folder, or behind any URL that fsspec opens.

Files are created once and never changed, so that a copy of a remote file is good forever.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from pytest_aibench.cache import cache_dir, spool_dir
from pytest_aibench.errors import UserError

_FILE = re.compile(r"runs/\d+/\d+/\d+/[^/\\]+")
_DEPTH = 3
"""Years, months, days."""
_OTHER_STORE = "choose another folder with --aibench-store or use --aibench-no-store"
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")
"""What the file systems of fsspec call the version of a file."""


class StoredFile(NamedTuple):
    """A file of a store.

    Attributes:
        name: Its path in the store, with slashes: ``runs/2026/03/01/20260301T233000Z-01JD….json``.
        size_bytes: Its size.
        stamp: A text that is another one when the file is another one.
    """

    name: str
    size_bytes: int
    stamp: str


class Store(Protocol):
    """A place for the files of a store."""

    @property
    def location(self) -> str:
        """The folder, or the URL."""

    @property
    def desk(self) -> Path:
        """A local folder for what is not finished: the store itself where it is local."""

    def check(self) -> None:
        """Raise UserError if nothing could be created, as far as that shows without trying."""

    def files(self) -> list[StoredFile]:
        """All files in dated folders, by name and so by time; UserError if that fails."""

    def create(self, name: str, content: bytes) -> None:
        """Create a file whole or not at all; FileExistsError, or UserError if that fails."""

    def fetch(self, name: str) -> Path:
        """The file as a local one; UserError if that fails."""

    def where(self, name: str) -> str:
        """The file as users can name it."""

    def delete(self, name: str) -> None:
        """Delete a file, if it is there; UserError if that fails."""


def open_store(location: str | Path) -> Store:
    """The store at a folder or URL, without looking whether there is one.

    Raises:
        UserError: The URL is of no known kind, or what reads such URLs is not installed.
    """
    text = str(location)
    if text.startswith("file:"):
        path = unquote(urlsplit(text).path)
        return LocalStore(Path(path.lstrip("/") if os.name == "nt" else path))
    return RemoteStore(text) if is_url(text) else LocalStore(Path(text))


def is_url(location: str) -> bool:
    """Whether it is a URL rather than a folder."""
    return "://" in location


def key_of(store: Store) -> str:
    """A short name for the store that is fit for files of ours about it."""
    return hashlib.sha256(store.location.encode(errors="surrogateescape")).hexdigest()[:16]


def spool_of(store: Store) -> LocalStore:
    """The local store that keeps what this store did not take, until `pending` finds it."""
    return LocalStore(spool_dir() / key_of(store))


def pending() -> dict[str, LocalStore]:
    """Spools of this user, by the location of the store that they wait for."""
    found = sorted(spool_dir().glob("*/location.txt"))
    return {path.read_text("utf-8", "surrogateescape"): LocalStore(path.parent) for path in found}


class LocalStore:
    """A store in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root))

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    @property
    def desk(self) -> Path:
        """The folder itself."""
        return self._root

    def check(self) -> None:
        """Make sure that a file could be created, without creating anything.

        Raises:
            UserError: The folder cannot be created or written to.
        """
        root, runs = self._root, self._root / "runs"
        existing = next((path for path in (runs, *runs.parents) if os.path.lexists(path)), root)
        if not existing.is_dir():
            raise UserError(
                f"cannot write records to {root}: {existing} is no folder; {_OTHER_STORE}"
            )
        if not os.access(existing, os.W_OK | os.X_OK):
            raise UserError(f"cannot write records to {root}: permission denied; {_OTHER_STORE}")

    def files(self) -> list[StoredFile]:
        """All files in dated folders, by name and so by time."""
        return sorted(_entries(str(self._root / "runs"), "runs", _DEPTH))

    def create(self, name: str, content: bytes) -> None:
        """Create a file whole or not at all, safe from a power cut.

        Raises:
            FileExistsError: It is there already.
            UserError: The file system refuses.
        """
        self.check()
        path = self._root / name
        try:
            self.prepare()
            path.parent.mkdir(parents=True, exist_ok=True)
            _create_whole(path, content)
        except FileExistsError:
            raise
        except OSError as error:
            raise UserError(
                f"cannot write records to {self._root}: {_reason(error)}; {_OTHER_STORE}"
            ) from error

    def prepare(self) -> None:
        """Create the folder; a new one ignores itself in git, lest records be committed unasked."""
        if self._root.is_dir():
            return
        self._root.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _write_new(self._root / ".gitignore", b"*\n")

    def fetch(self, name: str) -> Path:
        """The file's path."""
        return self._root / name

    def where(self, name: str) -> str:
        """The file's path."""
        return str(self._root / name)

    def delete(self, name: str) -> None:
        """Delete a file, if it is there.

        Raises:
            UserError: The file system refuses.
        """
        try:
            (self._root / name).unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"cannot delete {self.where(name)}: {_reason(error)}") from error

    def wait_for(self, store: Store) -> None:
        """Note, in a spool, which store its files are for."""
        self.prepare()
        with suppress(FileExistsError):
            _write_new(
                self._root / "location.txt", store.location.encode("utf-8", "surrogateescape")
            )


class RemoteStore:
    """A store behind a URL; fsspec is imported when one is opened."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._system, self._root = _file_system(self._url)

    @property
    def location(self) -> str:
        """The URL."""
        return self._url

    @property
    def desk(self) -> Path:
        """The folder of its spool."""
        return spool_of(self).desk

    def check(self) -> None:
        """Nothing: what the remote does not take waits in the spool."""

    def files(self) -> list[StoredFile]:
        """All files in dated folders, by name and so by time.

        Raises:
            UserError: The remote cannot be reached.
        """
        with self._reaching():
            self._system.invalidate_cache()
            found = self._system.find(self._path("runs"), detail=True)
        named = ((path[len(self._root) :].lstrip("/"), info) for path, info in found.items())
        return sorted(_described(name, info) for name, info in named if _FILE.fullmatch(name))

    def create(self, name: str, content: bytes) -> None:
        """Create a file whole or not at all, as far as the remote can.

        Raises:
            FileExistsError: It is there already.
            UserError: The remote cannot be reached, or refuses.
        """
        path = self._path(name)
        with self._reaching():
            try:
                self._create(path, content)
            except FileExistsError:
                raise
            except Exception:
                # Not every file system says so by the right error.
                if self._system.exists(path):
                    raise FileExistsError(name) from None
                raise

    def fetch(self, name: str) -> Path:
        """A local copy, made once.

        Raises:
            UserError: The remote cannot be reached, or the copy not be kept.
        """
        path = cache_dir() / "records" / key_of(self) / name
        if not path.exists():
            with self._reaching():
                content = self._system.cat_file(self._path(name))
            _copy(path, content)
        return path

    def where(self, name: str) -> str:
        """The file's URL."""
        return f"{self._url}/{name}"

    def delete(self, name: str) -> None:
        """Delete a file, if it is there.

        Raises:
            UserError: The remote cannot be reached, or refuses.
        """
        with self._reaching(), suppress(FileNotFoundError):
            self._system.rm_file(self._path(name))

    def _create(self, path: str, content: bytes) -> None:
        try:
            self._system.pipe_file(path, content, mode="create")
        except FileNotFoundError:  # a file system that has folders
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(path, content, mode="create")

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn whatever a file system raises into one line; each has errors of its own."""
        try:
            yield
        except FileExistsError:
            raise
        except Exception as error:
            raise UserError(f"cannot reach {self._url}: {_reason(error)}") from error


def _file_system(url: str) -> tuple[Any, str]:
    try:
        url_to_fs = import_module("fsspec.core").url_to_fs
    except ImportError:
        raise UserError(
            f'a store at {url} needs fsspec: pip install "pytest-aibench[remote]"'
        ) from None
    try:
        system, root = url_to_fs(url)
    except (ImportError, ValueError) as error:  # the protocol's package is missing; no such one
        raise UserError(f"cannot open {url}: {_reason(error)}") from error
    return system, root


def _entries(folder: str, name: str, depth: int) -> Iterator[StoredFile]:
    """Files of the dated folders; links to folders are not followed, and so cannot loop."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not depth:
                yield _stored(entry, f"{name}/{entry.name}")
            elif entry.name.isdecimal() and entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path, f"{name}/{entry.name}", depth - 1)


def _stored(entry: os.DirEntry[str], name: str) -> StoredFile:
    try:
        status = entry.stat()
    except OSError as error:  # a link to nowhere, or to itself: for the reader to say
        return StoredFile(name, 0, _reason(error))
    return StoredFile(name, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def _described(name: str, info: dict[str, Any]) -> StoredFile:
    size = int(info.get("size") or 0)
    version = next((info[key] for key in _VERSIONS if info.get(key)), "")
    return StoredFile(name, size, f"{size}-{version}")


def _copy(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _create_whole(path, content)
    except OSError as error:
        raise UserError(
            f"cannot keep a copy in {path.parent}: {_reason(error)}; name another folder with "
            "AIBENCH_CACHE"
        ) from error


def _create_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_new(temporary, content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            _write_new(path, content)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _write_new(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the system lets folders be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return next(iter(str(error).splitlines()), "") or type(error).__name__
