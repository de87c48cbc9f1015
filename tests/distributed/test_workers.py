import threading
import time

import pytest

from sam_jax.distributed import spread


def test_every_item_is_done_once_by_one_worker_at_a_time():
    busy = [threading.Lock(), threading.Lock()]

    def make(number):
        def work(item):
            assert busy[number].acquire(blocking=False)
            time.sleep(0.001)
            busy[number].release()
            return item**2

        return work

    results = list(spread([make(0), make(1)], range(50)))
    assert sorted(results) == [item**2 for item in range(50)]


def test_no_items_and_fewer_items_than_workers():
    assert list(spread([abs], [])) == []
    assert list(spread([abs] * 5, [-3])) == [3]


def test_an_error_reaches_the_caller_and_ends_the_work():
    begun = []

    def work(item):
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    with pytest.raises(ValueError, match="three"):
        list(spread([work], range(100)))
    assert len(begun) < 10
