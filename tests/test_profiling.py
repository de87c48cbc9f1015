"""When a trace begins and ends; traces of real runs are in the tests of training, `generate` and `evaluate`."""

import jax
import pytest

from sam_jax.profiling import Profile
from sam_jax.storage import BucketPath, locate
from sam_jax.types import InputError


@pytest.fixture
def calls(monkeypatch):
    """What the profiler was asked for, in order, among what the run did."""
    made = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder, **_: made.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: made.append("stop"))
    return made


def test_steps_four_to_eight_are_traced(calls, tmp_path):
    said = []
    with Profile(tmp_path / "trace", "step", said.append) as profile:
        for step in range(1, 11):
            profile.next()
            calls.append(step)
    assert calls == [1, 2, 3, "start", 4, 5, 6, 7, 8, "stop", 9, 10]
    assert said == [
        f"profile of steps 4 to 8 in {tmp_path}/trace: tensorboard --logdir {tmp_path}/trace"
    ]


@pytest.mark.parametrize(
    ("number", "expected", "said"),
    [
        (1, [0], "no profile: it begins with photo 2, and the run ended before"),
        (2, [0, "start", 1, "stop"], "profile of photos 2 to 2 in "),
        (3, [0, "start", 1, 2, "stop"], "profile of photos 2 to 3 in "),
        (4, [0, "start", 1, 2, "stop", 3], "profile of photos 2 to 3 in "),
    ],
)
def test_photos_are_followed_to_their_end(calls, tmp_path, number, expected, said):
    def work():
        for photo in range(number):
            calls.append(photo)
            yield photo

    lines = []
    with Profile(tmp_path, "photo", lines.append) as profile:
        assert list(profile.follow(work(), number)) == list(range(number))
    assert calls == expected
    assert len(lines) == 1
    assert lines[0].startswith(said)


def test_without_a_folder_nothing_is_traced_or_said(calls):
    said = []
    with Profile(None, "step", said.append) as profile:
        assert list(profile.follow(iter(range(20)), 20)) == list(range(20))
    assert calls == said == []


def test_a_run_that_fails_ends_its_trace(calls, tmp_path):
    def work():
        yield 0
        raise KeyError

    with pytest.raises(KeyError), Profile(tmp_path, "photo", lambda line: None) as profile:
        list(profile.follow(work(), 2))
    assert calls == ["start", "stop"]


def test_a_trace_is_local():
    place = locate("gs://bucket/trace")
    assert isinstance(place, BucketPath)
    with pytest.raises(InputError, match="a profile is written to a local folder"):
        Profile(place, "step", print)
