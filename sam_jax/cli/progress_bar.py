"""The progress bar of commands that process photos."""

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn


def photo_progress() -> Progress:
    """Make a bar with the number of photos and the time left, which shows on the error stream if that is a terminal."""
    screen = Console(stderr=True)
    return Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        disable=not screen.is_terminal,
    )
