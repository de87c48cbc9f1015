"""Work that is handed out to threads, one or more for every device."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(workers: Sequence[Callable[[Item], Result]], items: Sequence[Item]) -> Iterator[Result]:
    """Apply to every item whichever worker is free; results come as they are ready, in any order.

    A worker has one item at a time, so it may keep state. A worker that is given twice has two items at a time, which
    keeps its device busy while one of them waits for something else. Items that are left when the caller stops
    iterating, or when a worker raises, are not begun.

    Args:
        workers: Functions that do the same on different devices.
        items: Items of work.

    Yields:
        The result for each item.
    """
    free: SimpleQueue[Callable[[Item], Result]] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def apply(item: Item) -> Result:
        worker = free.get()
        try:
            return worker(item)
        finally:
            free.put(worker)

    with ThreadPoolExecutor(len(workers)) as threads:
        waiting: set[Future[Result]] = set()
        try:
            for item in items:
                waiting.add(threads.submit(apply, item))
                if len(waiting) == len(workers):
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            yield from (future.result() for future in waiting)
        finally:
            threads.shutdown(cancel_futures=True)
