from sam_jax.messages import LifeSigns
from sam_jax.training.progress import ProgressReport


class Signs(LifeSigns):
    """Notes what a run says that it is at."""

    def __init__(self):
        super().__init__(is_silent=True)
        self.told = []

    def now(self, what):
        self.told.append(what)


def test_after_work_before_the_first_step_it_is_the_step_that_takes_time():
    signs = Signs()
    with (
        ProgressReport(0, 3, signs, is_silent=True) as report,
        report.counting("encoding images", 2) as advance,
    ):
        advance()
        advance()
    assert signs.told == [
        "compiling the first step",
        "encoding images: 1 of 2 done",
        "encoding images: 2 of 2 done",
        "compiling the first step",
    ]
