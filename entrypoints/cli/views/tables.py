"""Tables: as wide as the terminal on a terminal, plain text of stable columns elsewhere."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import click

from entrypoints.cli.views.output import console, print_lines, printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_GAP = 2
# Columns that may be left out make room for this much of a name or a sentence.
_NAME_WIDTH = 24
_SENTENCE_WIDTH = 30
# Names are cut before a sentence gets less than this.
_MIN_SENTENCE_WIDTH = 12


class Fit(Enum):
    """What becomes of a column on a terminal that is too narrow for the table."""

    # Ids, keys and states: shown in full, because they are copied or compared.
    WHOLE = auto()
    # Names: cut with an ellipsis, but only once no column that may be left out remains.
    CUT = auto()
    # Figures and the like: the whole column is left out, the rightmost first.
    LEAVE_OUT = auto()
    # Sentences: continued on the next line within the column.
    WRAP = auto()


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    fit: Fit = Fit.WHOLE


@dataclass(frozen=True, slots=True)
class Row:
    cells: Sequence[str]
    bold: bool = False


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, err: bool = False
) -> None:
    """Print to standard output or, for `err`, to standard error.

    Off a terminal every column is as wide as its widest cell, two blanks apart, and nothing is cut
    or left out.
    """
    from rich.cells import cell_len

    titles = [column.title for column in columns]
    cells = [[printable(cell) for cell in row] for row in rows]
    if not (sys.stderr if err else sys.stdout).isatty():
        click.echo("\n".join(aligned([titles, *cells])), err=err)
        return
    screen = console(err=err)
    visible = columns_that_fit(columns, cells, screen.width)
    lines = aligned([[row[place] for place in visible] for row in (titles, *cells)])
    if max(map(cell_len, lines)) <= screen.width:
        # Nothing to cut or wrap: a table of rich would take seconds for thousands of rows.
        heading = lines[0] if screen.is_dumb_terminal else click.style(lines[0], bold=True)
        click.echo("\n".join([heading, *lines[1:]]), err=err)
    else:
        screen.print(rich_table(columns, [Row(row) for row in cells], visible))
    if len(visible) < len(columns):
        left_out = ", ".join(title for place, title in enumerate(titles) if place not in visible)
        print_lines(f"No room for {left_out}: widen the terminal, or use -o json.", err=err)


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Plain text, two blanks between columns.

    Widths are those of a terminal, where East Asian characters and emojis take two columns, and
    combining accents none.
    """
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]


def columns_that_fit(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int
) -> list[int]:
    """The places of the columns to show. Cells must be printable."""
    from rich.cells import cell_len

    titles = [column.title for column in columns]
    widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
    limits = {Fit.CUT: _NAME_WIDTH, Fit.WRAP: _SENTENCE_WIDTH}
    needed = [
        min(natural, limits.get(column.fit, natural))
        for column, natural in zip(columns, widths, strict=True)
    ]
    visible = list(range(len(columns)))
    for place in reversed(range(len(columns))):
        if sum(needed[other] + _GAP for other in visible) - _GAP <= width:
            break
        if columns[place].fit is Fit.LEAVE_OUT:
            visible.remove(place)
    return visible


def rich_table(
    columns: Sequence[Column], rows: Sequence[Row], visible: Sequence[int], *, wrap: bool = True
) -> "Table":
    """Only the columns at the places `visible`. Cells must be printable.

    Without `wrap` sentences are cut, so that each row takes one line.
    """
    from rich.cells import cell_len
    from rich.table import Table

    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, _GAP, 0, 0))
    for place in visible:
        column = columns[place]
        # Columns that are no_wrap keep their width until the others have nothing left to give.
        options: dict[str, Any] = {
            "no_wrap": column.fit in (Fit.WHOLE, Fit.LEAVE_OUT),
            "overflow": "ellipsis",
        }
        if wrap and column.fit is Fit.WRAP:
            # Sentences share what the other columns leave, each according to its length.
            natural = max(cell_len(text) for text in (column.title, *_cells(rows, place)))
            options |= {"ratio": natural, "width": min(natural, _MIN_SENTENCE_WIDTH)}
            table.expand = True
        table.add_column(_text(column, column.title, wrap=wrap), **options)
    for row in rows:
        cells = [_text(columns[place], row.cells[place], wrap=wrap) for place in visible]
        table.add_row(*cells, style="bold" if row.bold else None)
    return table


def _cells(rows: Sequence[Row], place: int) -> Iterator[str]:
    return (row.cells[place] for row in rows)


def _text(column: Column, text: str, *, wrap: bool) -> "Text":
    from rich.text import Text

    may_wrap = wrap and column.fit is Fit.WRAP
    return Text(text, no_wrap=not may_wrap, overflow="fold" if may_wrap else "ellipsis")
