"""How `servers watch` shows what it hears: as a table on a terminal, as lines elsewhere."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import click

from domain.server import Server
from entrypoints.cli.servers.changes import Change, Kind, Snapshot
from entrypoints.cli.views.screen import Row, Screen
from entrypoints.cli.views.tables import SERVER_COLUMNS, ago, iso, server_json, server_row

_MARKED = timedelta(seconds=10)
_CHANGES_SHOWN = 5

_STATUS = SERVER_COLUMNS.index("STATUS")


class View(Protocol):
    def on_update(self, snapshot: Snapshot, changes: Sequence[Change]) -> None: ...

    def on_error(self, message: str) -> None:
        """The API does not answer, now or still."""

    def refresh(self) -> None:
        """Time has passed."""


class Lines:
    """A line for each change, as `line` writes it; what it leaves empty is not told."""

    def __init__(self, line: Callable[[Change], str]) -> None:
        self._line = line
        self._lost = False

    def on_update(self, snapshot: Snapshot, changes: Sequence[Change]) -> None:
        if self._lost:
            click.echo("manmanv2: the API answers again", err=True)
        self._lost = False
        for text in filter(None, map(self._line, changes)):
            click.echo(text)

    def on_error(self, message: str) -> None:
        if not self._lost:
            click.echo(f"manmanv2: {message}; asking again", err=True)
        self._lost = True

    def refresh(self) -> None:
        pass


def line_of(change: Change) -> str:
    """Empty for what is no change but was there from the beginning."""
    return "" if change.kind is Kind.INITIAL else f"{iso(change.at)}  {_told(change)}"


def _told(change: Change) -> str:
    server, old_status, new_status = change.server, change.old_status, change.new_status
    if change.kind is Kind.UNLISTED and new_status == old_status:
        new_status = "-"
    return f"{server.server_id}  {server.name}  {old_status or '-'} -> {new_status}"


def object_of(change: Change) -> str:
    fields = {
        "time": iso(change.at),
        "change": change.kind.value,
        "old_status": change.old_status or None,
        "server": server_json(change.server),
    }
    return json.dumps(fields, ensure_ascii=False)


class LiveTable:
    """The servers on a terminal, with marks at what changed and the last changes below."""

    def __init__(self) -> None:
        self._screen = Screen(("", *SERVER_COLUMNS), never_cut=("", "ID", "STATUS"))
        self._servers: Mapping[int, Server] = {}
        self._marked: dict[int, Change] = {}
        self._changes: deque[str] = deque(maxlen=_CHANGES_SHOWN)
        self._heard_at: datetime | None = None
        self._problem = ""

    def on_update(self, snapshot: Snapshot, changes: Sequence[Change]) -> None:
        self._servers = snapshot.listed
        self._heard_at = datetime.now(UTC)
        self._problem = ""
        for change in changes:
            if change.kind is not Kind.INITIAL:
                self._marked[change.server.server_id] = change
                # By the clock of who looks at it.
                self._changes.append(f"{change.at.astimezone():%H:%M:%S}  {_told(change)}")

    def on_error(self, message: str) -> None:
        self._problem = message

    def refresh(self) -> None:
        if not self._heard_at:
            return
        now = datetime.now(UTC)
        self._marked = {
            server_id: change
            for server_id, change in self._marked.items()
            if now - change.at < _MARKED
        }
        leaving = {key: change.server for key, change in self._marked.items() if change.goes}
        shown = {**leaving, **self._servers}
        rows = [self._row(shown[server_id], now) for server_id in sorted(shown)]
        heard = ago(self._heard_at, now)
        status = (
            f"Last heard {heard}, asking again: {self._problem}"
            if self._problem
            else f"{len(self._servers)} shown, heard {heard}. Stop with Ctrl-C."
        )
        self._screen.draw(rows, status, self._changes, faded=bool(self._problem))

    def _row(self, server: Server, now: datetime) -> Row:
        cells = list(server_row(server, now))
        change = self._marked.get(server.server_id)
        if change is None:
            return Row(("", *cells))
        if change.goes:
            cells[_STATUS] = change.new_status
        return Row(("-" if change.goes else "*", *cells), stands_out=True)
