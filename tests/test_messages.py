"""Signs of life, and counts in words."""

import sys
import time

import pytest

from sam_jax.messages import LifeSigns, count


def test_counts_in_words():
    assert [count(n, "photo") for n in (0, 1, 2, 12345)] == [
        *("0 photos", "1 photo", "2 photos", "12,345 photos")
    ]


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_line_at_the_start_and_after_each_silence():
    lines = []
    with LifeSigns(lines.append, every=0.02) as signs:
        signs.begin("loading")
        assert lines[0] == "loading"
        wait_for(lambda: len(lines) >= 3)
        signs.now("photo 3 of 10")
        wait_for(lambda: lines[-1].endswith("photo 3 of 10"))
    told = len(lines)
    time.sleep(0.1)
    assert len(lines) == told
    assert lines[1] == "at work for 0:00: loading"


def test_no_sign_while_something_is_heard():
    lines = []
    with LifeSigns(lines.append, every=30.0) as signs:
        signs.begin("loading")
        signs.heard()
    assert lines == ["loading"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_has_a_bar_instead(terminal, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    lines = []
    with LifeSigns(lines.append, every=0.01) as signs:
        signs.begin("loading")
        if not terminal:
            wait_for(lambda: len(lines) > 1)
    assert bool(lines) != terminal


def test_an_error_stream_that_is_closed_stops_nothing(monkeypatch):
    class Closed:
        def isatty(self):
            return False

        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    with LifeSigns(every=0.01) as signs:
        signs.begin("loading")
        time.sleep(0.05)
