"""What the supervisor of a command says and does, with commands that end in an instant."""

import signal

import pytest

from sam_jax.cli import supervision
from sam_jax.cli.supervision import LOST, is_to_be_supervised, supervise


@pytest.fixture
def endings(monkeypatch):
    """Lets a command end in one way after another."""

    def choose(*codes):
        waiting = [*codes]
        monkeypatch.setattr(supervision, "_run", lambda arguments: waiting.pop(0))
        monkeypatch.setattr(supervision, "RESTART_AFTER_SECONDS", 0)
        return waiting

    return choose


@pytest.mark.parametrize(
    ("arguments", "is_supervised"),
    [
        (["train", "debug"], False),
        (["train", "debug", "--multi-host"], True),
        (["finetune", "data", "--restarts=3"], True),
        (["train", "debug", "--restarts", "3"], True),
    ],
)
def test_who_is_supervised(arguments, is_supervised, monkeypatch):
    assert is_to_be_supervised(arguments) is is_supervised
    monkeypatch.setenv("SAM_JAX_SUPERVISED_BY", "3")
    assert not is_to_be_supervised(arguments)


@pytest.mark.parametrize("code", [0, 1, 2, 143])
def test_ends_that_are_final(endings, code, capfd):
    endings((code, False))
    assert supervise(["train", "debug", "--restarts", "3"]) == code
    assert capfd.readouterr().err == ""


def test_starts_again_as_often_as_asked(endings, capfd):
    waiting = endings((-signal.SIGKILL, False), (LOST, False), (-signal.SIGABRT, False), (0, False))
    assert supervise(["train", "debug", "--restarts=2"]) == LOST
    assert len(waiting) == 1
    assert capfd.readouterr().err.splitlines() == [
        "the process was ended by SIGKILL; starting again in 0 s, 1 more times at most",
        "another process of this run has ended or cannot be reached; starting again in 0 s, 0 more times at most",
        "error: another process of this run has ended or cannot be reached; start again, the run goes on from its "
        "newest whole training state",
    ]


def test_what_was_asked_to_stop_is_not_started_again(endings, capfd):
    endings((-signal.SIGTERM, True))
    assert supervise(["train", "debug", "--restarts", "3"]) == 128 + signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_a_real_command(capfd):
    """It ends with its own code, and its lines are seen."""
    assert supervise(["train", "none.py", "--restarts", "1"]) == 2
    assert "no such file: none.py" in capfd.readouterr().err
