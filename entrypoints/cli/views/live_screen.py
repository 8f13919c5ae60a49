"""A table that is redrawn in place, on the whole terminal."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from entrypoints.cli.views.output import console, printable
from entrypoints.cli.views.tables import Column, Row, columns_that_fit, rich_table

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text


class LiveScreen:
    """Takes the whole terminal, at whatever size it has at the moment: nothing scrolls, and no row
    of the table wraps.

    `close` restores what was on the terminal before, with the last table and log below it.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._console = console()
        self._live: Live | None = None
        # What stays on the terminal at the end.
        self._last: Group | None = None

    def draw(
        self,
        rows: Sequence[Row],
        status: str,
        log: Collection[str] = (),
        *,
        hints: Sequence[str] = (),
        dimmed: bool = False,
    ) -> None:
        """The table, `status` below it, then as many of the last lines of `log` as fit, and
        `hints` at the end.

        `dimmed` greys the table, because it is out of date.
        """
        from rich.live import Live

        drawing = self._drawing(rows, status, log, hints, dimmed=dimmed)
        if self._live is None:
            self._live = Live(
                console=self._console,
                screen=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.update(drawing, refresh=True)

    def close(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None
            self._console.print(self._last)

    def _drawing(
        self,
        rows: Sequence[Row],
        status: str,
        log: Collection[str],
        hints: Sequence[str],
        *,
        dimmed: bool,
    ) -> "Group":
        from rich.console import Group
        from rich.styled import Styled
        from rich.text import Text

        width, height = self._console.size
        # Wrapped and not cut, because a line usually ends with what to do.
        log_lines = [part for line in log for part in self._wrapped(line, width)]
        hint_lines = [part for hint in hints for part in self._wrapped(hint, width)]
        below = [Text(""), *self._wrapped(status, width)]
        if hint_lines:
            hint_lines = [Text(""), *hint_lines]
        # Without the heading, the lines that are always there, and the line of the cursor.
        room = max(1, height - len(below) - len(hint_lines) - 2)
        table_room = max(room - len(log_lines) - 1, room // 2) if log_lines else room
        # The line that counts the servers which are not shown takes one, too.
        visible = rows if len(rows) <= table_room else rows[: max(0, table_room - 1)]
        cleaned = [Row([printable(cell) for cell in row.cells], row.bold) for row in visible]
        places = columns_that_fit(self._columns, [row.cells for row in cleaned], width)
        table = rich_table(self._columns, cleaned, places, wrap=False)
        parts: list[RenderableType] = [Styled(table, "dim") if dimmed else table]
        left_out = len(rows) - len(visible)
        if left_out:
            parts.append(_line(f"and {left_out} more than fit here"))
        log_room = room - len(visible) - bool(left_out) - 1
        log_part = [Text(""), *log_lines[-log_room:]] if log_lines and log_room > 0 else []
        self._last = Group(*parts, *log_part)
        return Group(*parts, *below, *log_part, *hint_lines)

    def _wrapped(self, line: str, width: int) -> "list[Text]":
        from rich.text import Text

        return list(Text(printable(line)).wrap(self._console, width))


def _line(text: str) -> "Text":
    from rich.text import Text

    return Text(printable(text), no_wrap=True, overflow="ellipsis")
