"""How many processor threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads, and go back to the former number on leaving; None changes none.

    Threads that share an operation wait for each other in a busy loop. A small model gains little
    from them, and loses seconds whenever another process takes a core.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
