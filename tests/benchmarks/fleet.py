"""The simulated hosts in the server under test."""

from collections.abc import Mapping
from contextlib import closing

import grpc
import psycopg2

from protos.manman.v1 import manman_pb2 as pb
from tests.benchmarks.wire import SERVICE

_PAGE_SIZE = 100


def register(port: int, hosts: int) -> list[int]:
    """Register this many hosts with an API; returns their ids."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/RegisterServer",
            request_serializer=pb.RegisterServerRequest.SerializeToString,
            response_deserializer=pb.RegisterServerResponse.FromString,
        )
        return [
            call(pb.RegisterServerRequest(name=f"host-{number}"), timeout=120).server_id
            for number in range(hosts)
        ]


def last_seen(port: int) -> Mapping[int, float]:
    """When each host of an API was last seen, in Unix seconds."""
    seen: dict[int, float] = {}
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/ListServers",
            request_serializer=pb.ListServersRequest.SerializeToString,
            response_deserializer=pb.ListServersResponse.FromString,
        )
        request = pb.ListServersRequest(page_size=_PAGE_SIZE)
        while True:
            page = call(request, timeout=120)
            seen |= {server.server_id: server.last_seen for server in page.servers}
            if not page.next_page_token:
                return seen
            request.page_token = page.next_page_token


def insert(url: str, hosts: int) -> list[int]:
    """Write this many hosts into a migrated database; returns their ids."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO servers (name) SELECT 'host-' || number"
            " FROM generate_series(1, %s) AS number RETURNING server_id",
            (hosts,),
        )
        return [server_id for (server_id,) in cursor]


def last_seen_in_database(url: str) -> Mapping[int, float]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT server_id, coalesce(extract(epoch FROM last_seen), 0) FROM servers")
        return {server_id: float(seen) for server_id, seen in cursor}
