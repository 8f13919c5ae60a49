"""Progress of long work, on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from entrypoints.cli.views.output import console, printable


@contextmanager
def count_progress(description: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """A bar on standard error, where that is a terminal; call what it yields after each step.

    Without a `total` it only counts. What is printed meanwhile appears above the bar.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    progress = Progress(
        TextColumn(printable(description), markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn() if total else TextColumn("{task.completed:.0f}", markup=False),
        TimeElapsedColumn(),
        console=console(err=True),
        transient=True,
        # Otherwise what goes into a pipe would be shown on the terminal instead.
        redirect_stdout=sys.stdout.isatty(),
    )
    with progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


@contextmanager
def step_progress(description: str) -> Iterator[Callable[[str], None]]:
    """A spinner with the time so far on standard error, where that is a terminal; call what it
    yields with the name of each step as it begins."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console(err=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
    with progress:
        task = progress.add_task(printable(description), total=None)
        yield lambda step: progress.update(task, description=printable(f"{description}: {step}"))
