"""What installing the plugin costs a project that does not use it.

Bare pytest, pytest with ours and pytest with pytest-benchmark each get a virtual environment that
holds exactly what pip would install, linked from the running one, so that nothing is downloaded
and the cost of finding plugins among installed packages is part of the figures.

Run it from the repository with ``python -m benchmarks.harness.lightness``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import cache_from_source, find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.harness._rows import Row, run

OURS = "pytest-aibench"
OTHER = "pytest-benchmark"
HEAVY = {"numpy", "pandas", "psutil", "pynvml", "scipy", "sqlite3", "tabulate", "torch"}
IMPORTED = "pytest_aibench"
MAX_RATIO = 1.02


@dataclass(frozen=True, slots=True)
class Cost:
    """What one pytest start did.

    Attributes:
        instructions: Machine instructions of the pytest process for ``--collect-only``.
        modules: Modules imported by the end of a run of one empty test.
        processes: Processes started during that run.
        files: Files and folders it left behind.
    """

    instructions: int
    modules: frozenset[str]
    processes: int
    files: frozenset[str]

    def heavy(self) -> list[str]:
        """Heavy packages among the modules."""
        return sorted(HEAVY & {name.partition(".")[0] for name in self.modules})


def measure() -> list[Row]:
    """Compare ours with bare pytest and with pytest-benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        bare, ours, other = (
            _cost(Path(folder) / name, ["pytest", name]) for name in ("pytest", OURS, OTHER)
        )
    print(f"bare pytest: {bare.instructions / 1e6:.1f} M instructions, {len(bare.modules)} modules")
    for name, cost in ((OURS, ours), (OTHER, other)):
        print(f"{name} adds: {', '.join(sorted(cost.modules - bare.modules))}")
    return [
        _instructions_row(bare, ours, other),
        _row("modules beyond bare pytest", *(len(c.modules - bare.modules) for c in (ours, other))),
        _zero_row("heavy packages imported", len(ours.heavy()), len(other.heavy())),
        _zero_row("processes started", ours.processes, other.processes),
        _zero_row("files made", *(len(cost.files - bare.files) for cost in (ours, other))),
    ]


def _instructions_row(bare: Cost, ours: Cost, other: Cost) -> Row:
    our_share, other_share = (c.instructions / bare.instructions for c in (ours, other))
    return Row(
        "instructions, times bare pytest",
        round(our_share, 4),
        round(other_share, 4),
        round(our_share / other_share, 4),
        f"at most {MAX_RATIO}",
        our_share <= MAX_RATIO,
    )


def _row(measure: str, ours: int, other: int) -> Row:
    return Row(measure, ours, other, None, "none", True)


def _zero_row(measure: str, ours: int, other: int) -> Row:
    return Row(measure, ours, other, None, "0", ours == 0)


def _cost(folder: Path, packages: Sequence[str]) -> Cost:
    python = _environment(folder / "venv", packages)
    empty, project = folder / "empty", folder / "project"
    for repository in (empty, project):  # a repository, because plugins may ask git about it
        repository.mkdir()
        _run(["git", "init", "--quiet"], repository)
    (project / "test_empty.py").write_text("def test_empty():\n    pass\n", encoding="utf-8")
    _run_pytest(python, empty)
    instructions = _instructions(python, empty)
    before = _files(project)
    modules, processes = _probe(python, project, folder / "probe.txt")
    return Cost(instructions, modules, processes, _files(project) - before)


def _environment(folder: Path, packages: Sequence[str]) -> Path:
    """Make a virtual environment with links to the packages and all they require."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    site = next(folder.glob("lib/python*/site-packages"))
    for package in _closure(packages):
        if package.name == OURS:
            _install_ours(package, site)
        else:
            _link(package, site)
    return folder / "bin" / "python"


def _link(package: Distribution, site: Path) -> None:
    for name in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
        (site / name).symlink_to(str(package.locate_file(name)))


def _install_ours(package: Distribution, site: Path) -> None:
    """Install ours as pip would: pytest reads the file list, which an editable one is without."""
    spec = find_spec(IMPORTED)
    source = Path(next(iter(spec.submodule_search_locations or []))) if spec else Path()
    (site / IMPORTED).symlink_to(source)
    metadata = site / f"{IMPORTED}-{package.version}.dist-info"
    metadata.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (metadata / name).write_text(package.read_text(name) or "", encoding="utf-8")
    files = (path.relative_to(source.parent) for path in source.rglob("*") if path.is_file())
    shipped = sorted(path for path in files if "__pycache__" not in path.parts)
    record = "".join(line for path in shipped for line in _record(path, source.parent))
    (metadata / "RECORD").write_text(record, encoding="utf-8")


def _record(path: Path, root: Path) -> Iterator[str]:
    """Lines of a file list: a file with its hash and size, and what pip compiles of it."""
    content = (root / path).read_bytes()
    digest = urlsafe_b64encode(sha256(content).digest()).decode().rstrip("=")
    yield f"{path.as_posix()},sha256={digest},{len(content)}\n"
    if path.suffix == ".py":
        yield f"{Path(cache_from_source(str(path))).as_posix()},,\n"


def _closure(packages: Sequence[str]) -> Iterator[Distribution]:
    waiting, seen = list(packages), set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        package = distribution(name)
        yield package
        required = map(Requirement, package.requires or [])
        waiting += [r.name for r in required if not r.marker or r.marker.evaluate({"extra": ""})]


def _instructions(python: Path, project: Path) -> int:
    out = project.with_name("callgrind.out")
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    _run_pytest(python, project, before=valgrind)
    totals = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)
    if totals is None:
        raise SystemExit("valgrind counted nothing: run it by hand to see why")
    return int(totals[1])


def _run_pytest(python: Path, project: Path, before: Sequence[str] = ()) -> None:
    pytest = [str(python), "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"]
    _run([*before, *pytest], project, expected=(0, 5))  # 5: no tests


def _probe(python: Path, project: Path, out: Path) -> tuple[frozenset[str], int]:
    script = Path(__file__).with_name("_probe.py")
    _run([str(python), str(script), str(out), "-q", "-p", "no:cacheprovider"], project)
    lines = [line.split(" ", 1) for line in out.read_text(encoding="utf-8").splitlines()]
    modules = frozenset(name for kind, name in lines if kind == "module")
    return modules, sum(kind == "process" for kind, _ in lines)


def _run(command: Sequence[str], folder: Path, expected: Sequence[int] = (0,)) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    fixed = {"HOME": str(folder), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command, cwd=folder, env=kept | fixed, capture_output=True, text=True, check=False
    )
    if done.returncode not in expected:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _files(folder: Path) -> frozenset[str]:
    kept = (path for path in folder.rglob("*") if ".git" not in path.parts)
    return frozenset(str(path.relative_to(folder)) for path in kept)


def main() -> int:
    """Check what is needed, then measure."""
    for tool in ("git", "valgrind"):
        if shutil.which(tool) is None:
            print(f"lightness: {tool} is missing: install it", file=sys.stderr)
            return 2
    try:
        return run(__doc__.splitlines()[0], measure)
    except PackageNotFoundError as error:
        print(f"lightness: {error.name} is missing: pip install -e '.[micro]'", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
