"""Work on a Ray cluster of this machine: every item once, whatever becomes of the processes."""

import importlib.util
import os
import signal
import time

import pytest

from sam_jax.distributed.cluster import Cluster, GivenUp
from sam_jax.types import InputError, RunError
from tests.missing import leave_out

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    if importlib.util.find_spec("ray") is None:
        leave_out("Ray is not installed")
    with Cluster("local", 2) as cluster:
        yield cluster


def make_squares():
    """Squares of numbers; 7 takes its process down, and 9 is refused."""

    def square(numbers):
        if 7 in numbers:
            os.kill(os.getpid(), signal.SIGKILL)
        if 9 in numbers:
            raise ValueError("nine\nis odd")
        return [(number, number**2, os.getpid()) for number in numbers]

    return square


def test_every_item_is_answered_once_and_the_culprits_are_named(cluster):
    items = [*range(20), 3]
    answers = list(cluster.spread(make_squares, items, 3))
    assert sorted(item for item, _ in answers) == sorted(items)
    given_up = {item: result.reason for item, result in answers if isinstance(result, GivenUp)}
    assert given_up == {
        7: "tried 3 times, the last time its worker died",
        9: "tried 3 times, the last time ValueError: nine",
    }
    for item, result in answers:
        assert item in given_up or result[:2] == (item, item**2)
    assert os.getpid() not in {result[2] for item, result in answers if item not in given_up}


def make_slow():
    def name_process(items):
        time.sleep(0.05)
        return [os.getpid()] * len(items)

    return name_process


def test_what_a_killed_process_had_in_hand_is_done_again(cluster):
    answers = []
    killed = None
    for answer in cluster.spread(make_slow, list(range(40))):
        answers.append(answer)
        if len(answers) == 10:
            killed = answer.result
            os.kill(killed, signal.SIGKILL)
    assert sorted(item for item, _ in answers) == [*range(40)]
    workers = [result for _, result in answers]
    assert killed not in workers[14:]  # no more than what was on its way
    assert len({*workers}) > 1


def test_workers_for_which_there_is_no_room_hold_nothing_up(cluster, monkeypatch):
    monkeypatch.setattr(cluster, "_workers", 4)
    answers = list(cluster.spread(make_slow, [*range(12)]))
    assert sorted(item for item, _ in answers) == [*range(12)]
    assert len({result for _, result in answers}) <= 2


def refuse():
    raise InputError("no such folder: /photos")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_cannot_get_ready_end_the_run(cluster):
    with pytest.raises(InputError, match=r"^\S+: no such folder: /photos$"):
        list(cluster.spread(refuse, [1, 2]))
    with pytest.raises(RunError, match="3 workers died one after the other as they got ready"):
        list(cluster.spread(die, [1, 2]))
    assert list(cluster.spread(make_slow, [])) == []


def test_numbers_and_addresses_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="--workers is 1 or more, not 0"):
        Cluster("local", 0)


@pytest.mark.usefixtures("cluster")
def test_only_this_machine_is_listened_to_and_nothing_is_reported():
    import ray
    from ray._common.usage import usage_lib

    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
    assert not usage_lib.usage_stats_enabled()
