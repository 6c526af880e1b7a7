"""Threads for one large update: they live as long as it does, and what comes out does not depend on their number."""

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
# What more threads than this could do waits for the memory, or for the interpreter between two operations.
MOST = 4


def workers() -> int:
    """Return how many threads may compute: at most one a processor, and no more than `OMP_NUM_THREADS`."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, min(own, MOST, int(asked) if asked.isdecimal() else MOST))


def share(work: Callable[[Any, T], None], spaces: Sequence[Any], tasks: Sequence[T]) -> None:
    """Call `work(space, task)` for every task, one thread with each of the spaces.

    The first error ends all and is raised.
    """
    rest = deque(tasks)  # two threads never take the same one, with a global lock or without
    wrong: list[BaseException] = []

    def take(space: Any) -> None:
        try:
            with np.errstate(all="ignore"):  # which each thread has of its own
                while not wrong:
                    try:
                        task = rest.popleft()
                    except IndexError:  # all are taken
                        return
                    work(space, task)
        except BaseException as error:
            wrong.append(error)

    threads = []
    for space in spaces[1 : len(tasks)]:
        thread = threading.Thread(target=take, args=(space,), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # none is to be had: this one does it all
            break
        threads.append(thread)
    try:
        take(spaces[0])
        for thread in threads:
            thread.join()
    except BaseException as error:  # an interrupt: nobody may write any more when the caller goes on
        wrong.append(error)
        for thread in threads:
            thread.join()
    if wrong:
        raise wrong[0]
