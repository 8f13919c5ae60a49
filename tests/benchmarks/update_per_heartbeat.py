"""A server that writes each heartbeat by an UPDATE with a commit of its own.

A competent implementation without group commit: grpc.aio on uvloop, raw psycopg2,
a connection per thread, one round trip per heartbeat.
"""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psycopg2
from psycopg2 import extensions

from protos.manman.v1 import manman_pb2 as pb
from tests.benchmarks.reference_server import serve

# Enough for PostgreSQL to share the disk's flushes; with more, threads and backends only
# slow each other down.
THREADS = 16

_UPDATE = """
    UPDATE servers
    SET status = 'online', last_seen = now(), offline_after = now() + interval '45 seconds'
    WHERE server_id = %s
    RETURNING config_revision
"""


class UpdatePerHeartbeat:
    def __init__(self, url: str) -> None:
        self._url = url
        self._threads = ThreadPoolExecutor(THREADS)
        self._of_thread = threading.local()

    async def heartbeat(self, request: pb.HeartbeatRequest, context: Any) -> pb.HeartbeatResponse:
        row = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._update, request.server_id
        )
        if row is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such server")
            raise AssertionError("abort raises")
        return pb.HeartbeatResponse(
            acknowledged=True, next_heartbeat_seconds=15, config_revision=row[0]
        )

    def _update(self, server_id: int) -> tuple[int] | None:
        with self._connection().cursor() as cursor:
            cursor.execute(_UPDATE, (server_id,))
            row: tuple[int] | None = cursor.fetchone()
        return row

    def _connection(self) -> extensions.connection:
        connection: extensions.connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = psycopg2.connect(self._url)
            # Each statement commits itself, without round trips for BEGIN and COMMIT.
            connection.autocommit = True
            self._of_thread.connection = connection
        return connection


if __name__ == "__main__":
    serve(UpdatePerHeartbeat(os.environ["DATABASE_URL"]).heartbeat)
