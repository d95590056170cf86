"""Runs pytest in this process and writes down what it cost: ``_probe.py OUT PYTEST_ARGUMENT...``.

It stands alone, because importing anything else would be counted.
"""

from __future__ import annotations

import sys

STARTS_PROCESS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}


def main(out: str, arguments: list[str]) -> None:
    """Write one line for each process start (``process ...``) and module (``module ...``)."""
    started: list[str] = []

    def listen(event: str, details: tuple[object, ...]) -> None:
        if event in STARTS_PROCESS:
            started.append(f"process {details}")

    sys.path.pop(0)  # the folder of this script, which the project under test would not see
    sys.addaudithook(listen)
    import pytest

    pytest.main(arguments)
    lines = started + [f"module {name}" for name in list(sys.modules)]
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(line.replace("\n", " ") for line in lines))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
