"""Many small pieces of work for one thread of a pool at a time.

To wake a thread for each would cost more than the work: under load, most of a thread's time goes into its turn with the
interpreter.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

T = TypeVar("T")


class Lane(Generic[T]):
    def __init__(self, pool: Executor, work: Callable[[Sequence[T]], None]) -> None:
        """`work` is given all pieces that have come, in order; it must not raise, and should not wait."""
        self._pool = pool
        self._work = work
        self._lock = threading.Lock()
        self._pieces: list[T] = []
        self._is_busy = False

    def put(self, piece: T) -> None:
        """From any thread."""
        with self._lock:
            self._pieces.append(piece)
            if self._is_busy:
                return
            self._is_busy = True
        self._pool.submit(self._run)

    def _run(self) -> None:
        while pieces := self._next():
            self._work(pieces)

    def _next(self) -> Sequence[T]:
        with self._lock:
            pieces, self._pieces = self._pieces, []
            self._is_busy = bool(pieces)
        return pieces
