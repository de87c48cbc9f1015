"""The bar of commands that go through photos."""

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn


def photo_progress() -> Progress:
    """A bar with the number of photos and the time left; on the error stream, and only where somebody watches."""
    screen = Console(stderr=True)
    return Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        disable=not screen.is_terminal,
    )
