import os
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue

import click

from domain.server import Server
from entrypoints.cli.fleet_filter import FleetFilter
from entrypoints.cli.options import Duration, ServerId, fleet_options, output_option
from entrypoints.cli.servers.changes import Snapshot, WatchFilter
from entrypoints.cli.servers.watch_views import Lines, LiveTable, View, line_of, object_of
from entrypoints.cli.session import operator_client

_REFRESH_SECONDS = 1.0

# Asking again does not help; whatever else goes wrong can pass.
_REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED")


@click.command()
@click.argument("server_ids", type=ServerId(), nargs=-1)
@fleet_options
@click.option("--every", type=Duration(), default="2s", show_default=True, help="How often to ask.")
@output_option
@click.pass_context
def watch(
    context: click.Context,
    server_ids: tuple[int, ...],
    environment: str,
    status: str | None,
    not_seen_for: timedelta | None,
    selector: str,
    every: timedelta,
    output: str,
) -> None:
    """Show servers and what changes, until Ctrl-C.

    On a terminal it is a table, with the last changes below; a star marks what changed within ten
    seconds, a dash what is deleted or not among those asked for any more. Elsewhere each change is
    a line: time, id, name, old status -> new status.

    With -o json each line is an object: time, change (initial, added, status, unlisted or
    deleted), old_status, and the server as `servers list` has it.

    Once the API has answered it may go away and come back.
    """
    matching = FleetFilter(environment, status or "", not_seen_for or timedelta(0), selector)
    if server_ids and matching:
        raise click.UsageError("Name servers by their ids, or choose them by options.")
    wanted = WatchFilter(server_ids, matching)
    if output == "json":
        view: View = Lines(object_of)
    elif sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        view = LiveTable()
    else:
        view = Lines(line_of)
    _watch(context, wanted, every.total_seconds(), view)


def _watch(context: click.Context, wanted: WatchFilter, every_seconds: float, view: View) -> None:
    """Raises OperatorCallFailed when the first look fails, or the API refuses."""
    from adapters.grpc.client.operator_client import OperatorCallFailed

    # None asks to stop.
    happened: SimpleQueue[Future[Snapshot] | None] = SimpleQueue()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: happened.put(None))
    known: Mapping[int, Server] | None = None
    looking = False
    due = time.monotonic()
    # A thread asks, so that an API that does not answer holds up neither the clock nor Ctrl-C.
    # What it waits for is cancelled by closing the connection.
    with ThreadPoolExecutor(1) as thread, ExitStack() as connection:
        client = connection.enter_context(closing(operator_client(context)))
        while True:
            if not looking and time.monotonic() >= due:
                thread.submit(wanted.take_snapshot, client, known).add_done_callback(happened.put)
                looking = True
            rest = _REFRESH_SECONDS if looking else due - time.monotonic()
            try:
                event = happened.get(timeout=max(0.0, min(_REFRESH_SECONDS, rest)))
            except Empty:
                view.refresh()
                continue
            if event is None:
                return
            looking = False
            due = time.monotonic() + every_seconds
            try:
                snapshot = event.result()
            except OperatorCallFailed as error:
                if known is None or error.code.name in _REFUSED:
                    raise
                view.on_error(str(error))
                # A new connection, because gRPC tries one that failed again after minutes only.
                connection.close()
                client = connection.enter_context(closing(operator_client(context)))
            else:
                view.on_update(snapshot, list(snapshot.changes_since(known, datetime.now(UTC))))
                known = snapshot.listed
            view.refresh()
