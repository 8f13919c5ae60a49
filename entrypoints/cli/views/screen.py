"""A table that is drawn again and again, in the place of the one before."""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from textwrap import wrap

import click

from entrypoints.cli.views.tables import aligned, text_width, truncate

_HOME = "\x1b[H"
_CLEAR_REST_OF_LINE = "\x1b[K"
_CLEAR_BELOW = "\x1b[J"

_GAP = 2
# With less in a cell there is nothing to recognise it by.
_MIN_CELL_WIDTH = 6


@dataclass(frozen=True)
class Row:
    """`stands_out` shows it in bold."""

    cells: Sequence[str]
    stands_out: bool = False


class Screen:
    """The whole terminal, whatever size it has at the moment: nothing scrolls, and of the table
    nothing wraps."""

    def __init__(self, columns: Sequence[str], never_cut: Collection[str]) -> None:
        """Cells of the columns `never_cut` are shown whole, or not at all."""
        self._columns = columns
        self._never_cut = never_cut
        self._drawn = False

    def draw(
        self, rows: Sequence[Row], status: str, log: Collection[str] = (), *, faded: bool = False
    ) -> None:
        """The table, `status` below it, and as many of the last lines of `log` as fit.

        `faded` greys the table: it is an old one.
        """
        width, height = shutil.get_terminal_size()
        # A sign in a terminal's last column makes some of them go on in the next line.
        width -= 1
        # Wrapped and not cut: what to do mostly stands at the end of a line.
        log = [part for line in log for part in wrapped(line, width)]
        # But for the heading, the status with a blank line, and the line that the cursor is in.
        room = max(1, height - 4)
        table_room = max(room - len(log) - 1, room // 2) if log else room
        # The line that tells of the others takes one, too.
        shown = rows if len(rows) <= table_room else rows[: max(0, table_room - 1)]
        table = fitting([self._columns, *(row.cells for row in shown)], width, self._never_cut)
        stand_out = [False, *(row.stands_out for row in shown)]
        lines = [
            click.style(line, dim=True) if faded else click.style(line, bold=stands_out or None)
            for line, stands_out in zip(table, stand_out, strict=True)
        ]
        if len(shown) < len(rows):
            lines.append(truncate(f"and {len(rows) - len(shown)} more than fit here", width))
        lines += ["", _shown(status, width)]
        log_room = height - 1 - len(lines) - 1
        if log and log_room > 0:
            lines += ["", *log[-log_room:]]
        self._show(lines[: height - 1], height)

    def _show(self, lines: Sequence[str], height: int) -> None:
        # What was on the terminal before moves up, where one can scroll back to it.
        beginning = _HOME if self._drawn else "\n" * height + _HOME
        self._drawn = True
        # Each line over the old one and in one piece: a terminal that is cleared first flickers.
        text = "".join(f"{line}{_CLEAR_REST_OF_LINE}\n" for line in lines)
        click.echo(beginning + text + _CLEAR_BELOW, nl=False)


def fitting(
    lines: Sequence[Sequence[str]], width: int, never_cut: Collection[str] = ()
) -> list[str]:
    """A table of which no line is wider than `width`; the first line names the columns.

    The widest cells are cut first. Where even short ones do not fit, the last columns are left out.
    """
    columns = lines[0]
    for count in range(len(columns), 0, -1):
        shown = [line[:count] for line in lines]
        widths = [max(map(text_width, column)) for column in zip(*shown, strict=True)]
        fixed = [name in never_cut for name in columns[:count]]
        room = width - _GAP * (count - 1)
        for most in range(max(widths), _MIN_CELL_WIDTH - 1, -1):
            allowed = [
                wide if whole else min(wide, most)
                for wide, whole in zip(widths, fixed, strict=True)
            ]
            if sum(allowed) <= room:
                return aligned(
                    [
                        [_shown(cell, most) for cell, most in zip(line, allowed, strict=True)]
                        for line in shown
                    ]
                )
    return [_shown(line[0], width) for line in lines]


def wrapped(line: str, width: int) -> list[str]:
    """In lines that are no wider, so that all of it can be read."""
    return [_shown(part, width) for part in wrap(line, width, subsequent_indent="  ")]


def _shown(text: str, width: int) -> str:
    """Cut, and without what a terminal would obey: what others wrote appears in these lines."""
    return truncate("".join(sign if sign.isprintable() else " " for sign in text), width)
