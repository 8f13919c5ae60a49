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
from entrypoints.cli.servers.watch_views import Lines, LiveTable, View, format_line, format_object
from entrypoints.cli.session import operator_client

_REFRESH_SECONDS = 1.0

# Retrying does not help after these. All other errors may be temporary.
_PERMANENT_ERRORS = ("PERMISSION_DENIED", "UNAUTHENTICATED")


@click.command()
@click.argument("server_ids", metavar="[SERVER_ID]...", type=ServerId(), nargs=-1)
@fleet_options
@click.option(
    "--every", type=Duration(), default="2s", show_default=True, help="How often to ask the API."
)
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
    """Show servers and their changes until Ctrl-C.

    On a terminal this is a table with the latest changes below it. For ten seconds a star marks a
    server that changed, and a dash one that is deleted or no longer matches. Off a terminal each
    change is a line: time, id, name, old status -> new status.

    With -o json each line is an object: time, change (initial, added, status, unlisted or
    deleted), old_status, and the server as in `servers list -o json`.

    If the API cannot be reached after its first answer, the command keeps trying.
    """
    matching = FleetFilter(environment, status or "", not_seen_for or timedelta(0), selector)
    if server_ids and matching:
        raise click.UsageError("Give either the ids of servers or options that filter them.")
    watch_filter = WatchFilter(server_ids, matching)
    if output == "json":
        view: View = Lines(format_object)
    elif sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        view = LiveTable()
    else:
        view = Lines(format_line)
    try:
        _watch(context, watch_filter, every.total_seconds(), view)
    finally:
        view.close()


def _watch(
    context: click.Context, watch_filter: WatchFilter, every_seconds: float, view: View
) -> None:
    """Raises OperatorCallFailed if the first snapshot fails, or the API refuses the caller."""
    from adapters.grpc.client.operator_client import OperatorCallFailed

    # None is a request to stop.
    events: SimpleQueue[Future[Snapshot] | None] = SimpleQueue()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: events.put(None))
    listed: Mapping[int, Server] | None = None
    asking = False
    due = time.monotonic()
    # A thread asks, so that an API that does not answer delays neither the clock nor Ctrl-C.
    # Closing the connection cancels the call that the thread waits for.
    with ThreadPoolExecutor(1) as thread, ExitStack() as connection:
        client = connection.enter_context(closing(operator_client(context)))
        while True:
            if not asking and time.monotonic() >= due:
                thread.submit(watch_filter.take_snapshot, client, listed).add_done_callback(
                    events.put
                )
                asking = True
            wait = _REFRESH_SECONDS if asking else due - time.monotonic()
            try:
                event = events.get(timeout=max(0.0, min(_REFRESH_SECONDS, wait)))
            except Empty:
                view.refresh()
                continue
            if event is None:
                return
            asking = False
            due = time.monotonic() + every_seconds
            try:
                snapshot = event.result()
            except OperatorCallFailed as error:
                if listed is None or error.code.name in _PERMANENT_ERRORS:
                    raise
                view.on_error(str(error))
                # A new connection, because gRPC may wait minutes before it retries a failed one.
                connection.close()
                client = connection.enter_context(closing(operator_client(context)))
            else:
                view.on_update(snapshot, list(snapshot.changes_since(listed, datetime.now(UTC))))
                listed = snapshot.listed
            view.refresh()
