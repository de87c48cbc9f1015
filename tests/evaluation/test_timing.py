from sam_jax.evaluation import timing
from sam_jax.evaluation.timing import Stopwatch, tabulate_time


def test_a_stopwatch_adds_up_its_blocks(monkeypatch):
    clock = iter([1.0, 3.0, 10.0, 10.5])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    watch = Stopwatch()
    for _ in range(2):
        with watch:
            pass
    assert watch.seconds == 2.5


def test_the_median_image_counts():
    times = [(9.0, 8.0), (1.0, 0.5), (2.0, 0.5), (0.1, 0.0)]
    records = [{"seconds": whole, "method_seconds": part} for whole, part in times]
    table = tabulate_time({"a": records, "idle": records[3:]})
    assert table.rows == (("a", 2.0, 0.25),)
