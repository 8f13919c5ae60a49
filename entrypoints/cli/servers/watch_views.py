"""How `servers watch` shows the fleet: as a table on a terminal, as lines elsewhere."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from domain.server import Server
from entrypoints.cli.servers.changes import Change, Kind, Snapshot
from entrypoints.cli.views.live_screen import LiveScreen
from entrypoints.cli.views.output import as_json, print_lines
from entrypoints.cli.views.servers import SERVER_COLUMNS, server_json, server_row
from entrypoints.cli.views.tables import Column, Row
from entrypoints.cli.views.times import ago, iso

_MARK_DURATION = timedelta(seconds=10)
_MAX_CHANGES_SHOWN = 5

_STATUS = [column.title for column in SERVER_COLUMNS].index("STATUS")


class View(Protocol):
    def on_update(self, snapshot: Snapshot, changes: Sequence[Change]) -> None: ...

    def on_error(self, message: str) -> None:
        """The API did not answer."""

    def refresh(self) -> None:
        """Called about once a second, because ages grow."""

    def close(self) -> None:
        """Called at the end, also after an error."""


class Lines:
    """A line for each change, as `line` formats it; a change with an empty line is not shown."""

    def __init__(self, line: Callable[[Change], str]) -> None:
        self._line = line
        self._is_lost = False

    def on_update(self, snapshot: Snapshot, changes: Sequence[Change]) -> None:
        if self._is_lost:
            print_lines("manmanv2: the API answers again", err=True)
        self._is_lost = False
        for text in filter(None, map(self._line, changes)):
            print_lines(text)

    def on_error(self, message: str) -> None:
        if not self._is_lost:
            print_lines(f"manmanv2: {message}; asking again", err=True)
        self._is_lost = True

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass


def format_line(change: Change) -> str:
    """Empty for a server that was there from the beginning, which is not a change."""
    return "" if change.kind is Kind.INITIAL else f"{iso(change.at)}  {_summary(change)}"


def _summary(change: Change) -> str:
    server, old_status, new_status = change.server, change.old_status, change.new_status
    if change.kind is Kind.UNLISTED and new_status == old_status:
        new_status = "-"
    return f"{server.server_id}  {server.name}  {old_status or '-'} -> {new_status}"


def format_object(change: Change) -> str:
    fields = {
        "time": iso(change.at),
        "change": change.kind.value,
        "old_status": change.old_status or None,
        "server": server_json(change.server),
    }
    return as_json(fields, indent=None)


class LiveTable:
    """The servers on a terminal, with marks at those that changed and the latest changes below."""

    def __init__(self) -> None:
        self._screen = LiveScreen((Column(""), *SERVER_COLUMNS))
        self._servers: Mapping[int, Server] = {}
        self._marked: dict[int, Change] = {}
        self._changes: deque[str] = deque(maxlen=_MAX_CHANGES_SHOWN)
        self._updated_at: datetime | None = None
        self._problem = ""

    def on_update(self, snapshot: Snapshot, changes: Sequence[Change]) -> None:
        self._servers = snapshot.listed
        self._updated_at = datetime.now(UTC)
        self._problem = ""
        for change in changes:
            if change.kind is not Kind.INITIAL:
                self._marked[change.server.server_id] = change
                # In the time zone of the person who watches.
                self._changes.append(f"{change.at.astimezone():%H:%M:%S}  {_summary(change)}")

    def on_error(self, message: str) -> None:
        self._problem = message

    def refresh(self) -> None:
        if not self._updated_at:
            return
        now = datetime.now(UTC)
        self._marked = {
            server_id: change
            for server_id, change in self._marked.items()
            if now - change.at < _MARK_DURATION
        }
        leaving = {key: change.server for key, change in self._marked.items() if change.is_removal}
        visible = {**leaving, **self._servers}
        rows = [self._row(visible[server_id], now) for server_id in sorted(visible)]
        age = ago(self._updated_at, now)
        status = (
            f"Last answer {age}, asking again: {self._problem}"
            if self._problem
            else f"{len(self._servers)} shown, updated {age}. Stop with Ctrl-C."
        )
        self._screen.draw(rows, status, self._changes, dimmed=bool(self._problem))

    def close(self) -> None:
        self._screen.close()

    def _row(self, server: Server, now: datetime) -> Row:
        cells = list(server_row(server, now))
        change = self._marked.get(server.server_id)
        if change is None:
            return Row(("", *cells))
        if change.is_removal:
            cells[_STATUS] = change.new_status
        return Row(("-" if change.is_removal else "*", *cells), bold=True)
