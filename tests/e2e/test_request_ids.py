"""A request has one id from the client to the store."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from sqlalchemy import create_engine, text

from adapters.sql.engine import make_engine, sql_url
from protos.manman.v1 import manman_pb2 as pb
from tests.support.processes import (
    Api,
    Process,
    client,
    eventually,
    free_address,
    run_to_end,
)

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]


def refusal(api: Api, *metadata: tuple[str, str]) -> dict[str, str]:
    """The trailing metadata of a call that must be refused."""
    with client(api.address) as stub, pytest.raises(grpc.RpcError) as caught:
        stub.GetServer(pb.GetServerRequest(server_id=99), metadata=metadata)
    error: Any = caught.value
    return {name: value for name, value in error.trailing_metadata() if isinstance(value, str)}


def drop_table(url: str, table: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {table} CASCADE"))
    engine.dispose()


def test_a_clients_request_id_is_in_the_answer_and_in_the_log(
    start_api: StartApi,
) -> None:
    api = start_api("memory://", LOG_LEVEL="debug")
    answered = refusal(api, ("x-request-id", "my.request_1"))

    assert answered["x-request-id"] == "my.request_1"
    [line] = [event for event in api.events if event.get("request_id") == "my.request_1"]
    assert re.fullmatch(r"GetServer: NOT_FOUND after \d+\.\d ms", line["event"])


@pytest.mark.parametrize("name", ["", "*/ DROP TABLE servers; /*", "%s", "x" * 65, "two words"])
def test_a_harmful_request_id_is_replaced(shared_api: Api, name: str) -> None:
    answered = refusal(shared_api, ("x-request-id", name))

    assert re.fullmatch("[0-9a-f]{32}", answered["x-request-id"])


def test_an_error_carries_the_apis_time(shared_api: Api) -> None:
    assert re.fullmatch(r"\d{10}\.\d{3}", refusal(shared_api)["manmanv2-unix-time"])


def test_statements_carry_the_request_id(start_api: StartApi, postgres_url: str) -> None:
    api = start_api(postgres_url)
    engine = create_engine(sql_url(postgres_url))
    waiting = text(
        "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND query LIKE '%/* request_id=look-here */'"
    )
    with (
        engine.begin() as holder,
        # Within one transaction, pg_stat_activity shows the same snapshot.
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher,
        ThreadPoolExecutor(1) as caller,
    ):
        holder.execute(text("LOCK TABLE servers"))
        caller.submit(refusal, api, ("x-request-id", "look-here"))

        assert eventually(lambda: watcher.scalar(waiting), "the statement", api)
    engine.dispose()


def test_an_operators_error_names_the_request_id(start_api: StartApi, postgres_url: str) -> None:
    api = start_api(postgres_url)
    with client(api.address) as stub:
        stub.CreateServer(pb.CreateServerRequest(name="box"))
    drop_table(postgres_url, "configurations")
    ended = run_to_end("manmanv2", "configs", "get", "1", "x", API_ADDRESS=api.address)
    match = re.search(r"see request_id ([0-9a-f]{32}) in the API's log", ended.stderr)

    assert match, ended.stderr
    failure = api.wait_until_logged("the store failed")
    [line] = [event for event in api.events if event["event"] == failure]
    assert line["request_id"] == match[1]


def test_a_host_and_its_api_log_a_failed_heartbeat_with_one_request_id(
    start_api: StartApi, start_host: StartHost, postgres_url: str
) -> None:
    api = start_api(postgres_url)
    host = start_host(api.address, SERVER_NAME="box")
    host.wait_until_logged("Registered")
    drop_table(postgres_url, "server_capabilities")
    host.wait_until_logged("its log says why")
    api.wait_until_logged("the store failed")
    [warned] = [event for event in host.events if "its log says why" in event["event"]]

    assert warned["request_id"] in {event.get("request_id") for event in api.events}


def test_a_log_line_has_a_request_id_only_during_the_request(start_host: StartHost) -> None:
    host = start_host("127.0.0.1:1", SERVER_NAME="box")
    host.wait_until_logged("Trying again")
    host.terminate()
    names = {event["event"]: event.get("request_id") for event in host.events}

    assert next(name for event, name in names.items() if "Trying again" in event)
    assert names["Stopped before this host was registered."] is None


def test_a_console_shows_the_request_id_after_the_line() -> None:
    address = free_address()
    api = Process(
        "manmanv2-api",
        DATABASE_URL="memory://",
        LISTEN_ADDRESS=address,
        LOG_FORMAT="console",
        LOG_LEVEL="debug",
    )
    try:
        api.wait_until_logged("Serving on")
        with client(address) as stub, pytest.raises(grpc.RpcError):
            stub.GetServer(
                pb.GetServerRequest(server_id=9), metadata=(("x-request-id", "my.request_1"),)
            )

        assert api.wait_until_logged("GetServer: NOT_FOUND").endswith("[my.request_1]")
    finally:
        api.kill()
