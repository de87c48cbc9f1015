"""Work that is handed out to threads, one or more of them for every device."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(workers: Sequence[Callable[[Item], Result]], items: Sequence[Item]) -> Iterator[Result]:
    """Apply to every item whichever worker is free; results come as they are done, in any order.

    A worker has one item at a time, so it may keep state; name one twice to keep it busy while it waits for something
    else than its device. What is left when the caller stops listening, or when a worker raises, isn't begun.

    Args:
        workers: functions that do the same, on different devices.
        items: what to apply them to.
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
