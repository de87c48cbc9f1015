"""Work that is handed out to processes on a cluster of machines, one process for every device, by Ray.

Source: [Ray](https://docs.ray.io/en/latest/ray-core/actors.html). A process that dies is replaced, and what it was at
is done again. Results come to the one process that has handed the work out, which keeps them: two processes may have
computed the same where one was only thought to be dead, but each result is handed on once.
"""

import contextlib
import logging
import os
import signal
import socket
import tempfile
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from sam_jax.types import InputError, RunError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Sequence[Item]], Sequence[Result]]

LOCAL = "local"
"""What stands for the address of a cluster that is started on this machine, and ends with the work."""
MOST_DEATHS = 3
"""Number of processes that an item may take down before it is given up."""
IN_HAND = 2
"""Groups of items that a process has at most: one at work, one waiting."""
_MOST_FAILED_STARTS = 3
_OBJECT_BYTES = 256 << 20
_LOOK_SECONDS = 1.0
_ACCELERATORS = ("GPU", "TPU")
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed",
}
"""What Ray reads from the environment as it is imported: its makers are told nothing, processes without a GPU are not
warned, and what becomes of dead ones is said by us."""
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Likewise, what makes Ray listen to this machine only, whatever the system."""


class GivenUp(NamedTuple):
    """What stands for the result of an item that was given up.

    Attributes:
        reason: What has happened each time that the item was tried.
    """

    reason: str


class Answer(NamedTuple, Generic[Item, Result]):
    """An item with its result.

    Attributes:
        item: The item.
        result: Its result.
    """

    item: Item
    result: Result | GivenUp


@dataclass
class _Hand:
    """A process of the cluster.

    Attributes:
        actor: Ray's handle of the process.
        pending: What the process was told to do, in this order: Ray's reference to the answer, and the items; none of
            those for getting ready.
        is_ready: Whether the process has got ready; until then it has no items, as the cluster may have no room for it.
    """

    actor: Any
    pending: deque[tuple[Any, list[Any]]] = field(default_factory=deque)
    is_ready: bool = False


class _Worker:
    """What runs in a process of the cluster."""

    def __init__(self) -> None:
        self._work: Work[Any, Any] | None = None

    def start(self, make_work: Callable[[], Work[Any, Any]]) -> tuple[str, type[Exception]] | None:
        """Get ready; what the user can mend comes back as a line with the type of the error."""
        try:
            self._work = make_work()
        except (InputError, RunError) as error:
            return f"{socket.gethostname()}: {error}", type(error)
        return None

    def work(self, items: list[Any]) -> list[Any]:
        assert self._work is not None
        return list(self._work(items))


class Cluster:
    """Processes on a Ray cluster, while the context lasts.

    Args:
        address: Address of the cluster, HOST:PORT or ray://HOST:PORT, or `local` for one of this machine's, which
            listens to this machine only.
        workers: Number of processes; None for one for each GPU or TPU chip, or each machine where there are none.

    Raises:
        InputError: The number of workers is less than 1; and as the context begins, the cluster cannot be reached.
        ModuleNotFoundError: Ray is not installed; as the context begins, like what follows.
        RunError: Ray would listen to other machines, since this process has imported it already.
    """

    def __init__(self, address: str, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"--workers is 1 or more, not {workers}")
        self._address, self._workers = address, workers
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> "Cluster":
        os.environ |= _SETTINGS | (_LOOPBACK if self._address == LOCAL else {})
        import ray

        with contextlib.ExitStack() as ending:
            options: dict[str, Any] = {}
            if self._address == LOCAL:
                # Ray's sockets lie below it, and their paths have to be short.
                place = "/tmp" if Path("/tmp").is_dir() else None
                folder = tempfile.TemporaryDirectory(
                    prefix="ray-", dir=place, ignore_cleanup_errors=True
                )
                options = {
                    "num_cpus": self._workers or 1,
                    "include_dashboard": False,
                    "object_store_memory": _OBJECT_BYTES,
                    "_temp_dir": ending.enter_context(folder),
                }
            with _signals_kept(), warnings.catch_warnings():
                # Ray's processes run programs of their own at once, so the locks that JAX warns of do no harm.
                warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
                try:
                    ray.init(
                        self._address, log_to_driver=False, logging_level=logging.ERROR, **options
                    )
                except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
                    reason = str(error).partition("\n")[0]
                    raise InputError(
                        f"cannot reach the Ray cluster at {self._address}: {reason}"
                    ) from error
            ending.callback(ray.shutdown)
            places = {node["NodeManagerAddress"] for node in ray.nodes()}
            if self._address == LOCAL and places != {"127.0.0.1"}:
                raise RunError(
                    "Ray was imported before it was told to listen to this machine only: import it later"
                )
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def spread(
        self, make_work: Callable[[], Work[Item, Result]], items: Sequence[Item], size: int = 1
    ) -> Iterator[Answer[Item, Result]]:
        """Apply work to every item on whichever process is free; answers come as they are ready, each item's once.

        A group whose process dies, or fails, is done again item by item, so that the one item that is to blame is told
        from the others. An item that has taken down three processes is given up.

        Args:
            make_work: Function that is called once in each process, and returns what maps items to their results; it
                and the items are pickled.
            items: Items of work.
            size: Number of items that are worked on together.

        Raises:
            InputError: `make_work` raised one: an option or a place is wrong.
            RunError: `make_work` raised one, or processes die as they get ready, or the cluster has gone.
        """
        return _Handout(self._count_workers(), make_work, items, size).run()

    def _count_workers(self) -> tuple[int, dict[str, float]]:
        """How many processes there are to be, and what each takes of the cluster."""
        import ray

        there = ray.cluster_resources()
        for kind in _ACCELERATORS:
            if number := int(there.get(kind, 0)):
                return self._workers or number, {kind: 1.0}
        machines = sum(node["Alive"] for node in ray.nodes())
        return self._workers or machines, {"CPU": 1.0}


class _Handout(Generic[Item, Result]):
    """Items on their way to processes, and answers on their way back."""

    def __init__(
        self,
        workers: tuple[int, dict[str, float]],
        make_work: Callable[[], Work[Item, Result]],
        items: Sequence[Item],
        size: int,
    ) -> None:
        import ray

        self._ray: Any = ray
        self._count, self._takes = workers
        self._make_work = make_work
        self._items = items
        # Items by their number, as equal ones may be there twice.
        self._waiting = deque(
            list(range(start, min(start + size, len(items))))
            for start in range(0, len(items), size)
        )
        self._deaths: Counter[int] = Counter()
        self._failed_starts = 0
        self._hands: list[_Hand] = []

    def run(self) -> Iterator[Answer[Item, Result]]:
        """The answers."""
        try:
            while self._waiting or any(items for hand in self._hands for _, items in hand.pending):
                self._hand_out()
                pending = [reference for hand in self._hands for reference, _ in hand.pending]
                self._ray.wait(pending, num_returns=1, timeout=_LOOK_SECONDS)
                for hand in [*self._hands]:
                    yield from self._take(hand)
        except self._ray.exceptions.RaySystemError as error:
            raise RunError(f"the Ray cluster has gone: {_first_line(error)}") from error
        finally:
            for hand in self._hands:
                with contextlib.suppress(Exception):  # whatever Ray has to say at the end
                    self._ray.kill(hand.actor)

    def _hand_out(self) -> None:
        while self._waiting and len(self._hands) < self._count:
            takes = {f"num_{kind.lower()}s": self._takes.get(kind, 0.0) for kind in ("CPU", "GPU")}
            others = {kind: n for kind, n in self._takes.items() if kind not in ("CPU", "GPU")}
            actor = (
                self._ray.remote(_Worker)
                .options(
                    **takes,
                    resources=others,
                    max_restarts=0,
                    max_task_retries=0,
                    scheduling_strategy="SPREAD",
                )
                .remote()
            )
            hand = _Hand(actor)
            hand.pending.append((actor.start.remote(self._make_work), []))
            self._hands.append(hand)
        for hand in self._hands:
            while hand.is_ready and self._waiting and len(hand.pending) < IN_HAND:
                numbers = self._waiting.popleft()
                given = [self._items[number] for number in numbers]
                hand.pending.append((hand.actor.work.remote(given), numbers))

    def _take(self, hand: _Hand) -> Iterator[Answer[Item, Result]]:
        """Answers of a process that are ready, in their order."""
        while hand.pending and self._ray.wait([hand.pending[0][0]], timeout=0)[0]:
            reference, numbers = hand.pending.popleft()
            try:
                results = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                if not numbers:
                    raise RunError(
                        f"a worker cannot get ready: {_first_line(error.cause)}"
                    ) from error
                yield from self._blame(
                    numbers, f"{type(error.cause).__name__}: {_first_line(error.cause)}"
                )
                continue
            except self._ray.exceptions.RaySystemError:
                raise
            except self._ray.exceptions.RayError:  # it has died, or what it answered is lost
                yield from self._bury(hand, numbers)
                return
            if numbers:
                self._failed_starts = 0
                for number, result in zip(numbers, results, strict=True):
                    yield Answer(self._items[number], result)
            elif results is not None:
                message, kind = results
                raise kind(message)
            else:
                hand.is_ready = True

    def _bury(self, hand: _Hand, numbers: list[int]) -> Iterator[Answer[Item, Result]]:
        """Give the work of a dead process back; what it was at is to blame, and what waited behind that is not."""
        self._hands.remove(hand)
        with contextlib.suppress(Exception):  # where only a part of it was lost
            self._ray.kill(hand.actor)
        self._waiting.extendleft(others for _, others in hand.pending if others)
        if numbers:
            yield from self._blame(numbers, "its worker died")
            return
        self._failed_starts += 1
        if self._failed_starts == _MOST_FAILED_STARTS:
            raise RunError(
                f"{_MOST_FAILED_STARTS} workers died one after the other as they got ready: see the logs of Ray; each "
                "needs memory for the model"
            )

    def _blame(self, numbers: list[int], reason: str) -> Iterator[Answer[Item, Result]]:
        for number in numbers:
            self._deaths[number] += 1
            if self._deaths[number] < MOST_DEATHS:
                self._waiting.append([number])
            else:
                tries = f"tried {MOST_DEATHS} times, the last time {reason}"
                yield Answer(self._items[number], GivenUp(tries))


def _first_line(error: object) -> str:
    return str(error).partition("\n")[0]


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep what this process does at SIGTERM, which Ray changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
