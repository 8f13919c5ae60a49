"""What watches an API and a host is told."""

import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest

from protos.manman.v1 import manman_pb2 as pb
from tests.e2e.processes import Api, Process, client, eventually, free_address, run_to_end
from tests.e2e.scraping import SidePort
from tests.real_parts.postgres import PostgresCluster
from tests.real_parts.rabbitmq import RabbitBroker

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

ANYWHERE = {"METRICS_ADDRESS": "127.0.0.1:0"}
HANDLED = "grpc_server_handled_total"
CALL = 'grpc_service="manman.v1.ManManAPI",grpc_type="unary"'


def called(method: str, code: str) -> str:
    return f'{HANDLED}{{grpc_code="{code}",grpc_method="{method}",{CALL}}}'


def code_of_heartbeat(api: Api, request: pb.HeartbeatRequest) -> grpc.StatusCode:
    with client(api.address) as stub:
        try:
            stub.Heartbeat(request)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def test_an_api_counts_calls_heartbeats_and_servers(start_api: StartApi, tmp_path: Path) -> None:
    api = start_api(f"sqlite:///{tmp_path}/fleet.sqlite3", **ANYWHERE)
    side_port = SidePort(api)
    with client(api.address) as stub:
        for name in ("one", "two", "three"):
            stub.RegisterServer(pb.RegisterServerRequest(name=name, environment="dev"))
        stub.Heartbeat(pb.HeartbeatRequest(server_id=1, leaving=True))
    absurd = pb.ServerCapabilities(total_memory_mb=-1)
    code_of_heartbeat(api, pb.HeartbeatRequest(server_id=2, capabilities=absurd))
    code_of_heartbeat(api, pb.HeartbeatRequest(server_id=99))
    found = side_port.samples()

    assert found[called("RegisterServer", "OK")] == 3
    assert found[called("Heartbeat", "OK")] == 1
    assert found[called("Heartbeat", "NOT_FOUND")] == 1
    assert found[called("Heartbeat", "INVALID_ARGUMENT")] == 1
    counted = f'grpc_server_handling_seconds_count{{grpc_method="Heartbeat",{CALL}}}'
    assert found[counted] == 3
    assert found['manmanv2_heartbeats_total{result="acknowledged",via="grpc"}'] == 1
    assert found['manmanv2_heartbeats_total{result="unknown_server",via="grpc"}'] == 1
    assert found['manmanv2_heartbeats_total{result="invalid",via="grpc"}'] == 1
    assert found['manmanv2_heartbeat_batch_size_sum{via="grpc"}'] == 3
    assert found['manmanv2_heartbeat_commit_seconds_count{via="grpc"}'] == 3
    assert found['manmanv2_servers{environment="dev",status="online"}'] == 2
    assert found['manmanv2_servers{environment="dev",status="offline"}'] == 1
    assert found["manmanv2_heartbeat_interval_seconds"] == 1
    assert found["manmanv2_store_up"] == 1
    assert found["process_start_time_seconds"] <= time.time()
    assert "manmanv2_broker_up" not in found


def test_who_is_silent_is_counted(start_api: StartApi) -> None:
    api = start_api("memory://", **ANYWHERE)
    side_port = SidePort(api)
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="one"))

    eventually(lambda: side_port.value("manmanv2_servers_expired_total") == 1, "silence", api)
    looks = side_port.value("manmanv2_sweep_seconds_count")
    assert looks
    assert looks > 10


def test_what_was_built_is_told(start_api: StartApi) -> None:
    api = start_api("memory://", MANMANV2_COMMIT="0123abc", **ANYWHERE)
    version = run_to_end("manmanv2-api", "--version", MANMANV2_COMMIT="0123abc").stdout

    assert version.endswith(" (0123abc)\n")
    told = 'manmanv2_build_info{commit="0123abc",component="api",version="0.1.0"}'
    assert SidePort(api).value(told) == 1


def test_an_api_is_ready_while_its_database_answers(
    start_api: StartApi, own_postgres: PostgresCluster
) -> None:
    url = own_postgres.create_database()
    run_to_end("manmanv2", "db", "upgrade", DATABASE_URL=url)
    api = start_api(url, **ANYWHERE)
    side_port = SidePort(api)

    assert side_port.get("/readyz") == (200, "ready\n")
    assert side_port.get("/healthz") == (200, "ok\n")
    own_postgres.stop()
    status, why = side_port.get("/readyz")
    assert status == 503
    assert why == "not ready: the store does not answer: see the log, and check DATABASE_URL\n"
    assert side_port.value("manmanv2_store_up") == 0
    assert side_port.get("/healthz") == (200, "ok\n")
    own_postgres.start()
    eventually(lambda: side_port.get("/readyz")[0] == 200, "the database", api)
    assert side_port.value("manmanv2_store_up") == 1


def test_a_database_that_hangs_holds_up_nobody_who_watches(
    start_api: StartApi, own_postgres: PostgresCluster
) -> None:
    url = own_postgres.create_database()
    run_to_end("manmanv2", "db", "upgrade", DATABASE_URL=url)
    api = start_api(url, **ANYWHERE)
    side_port = SidePort(api)
    with own_postgres.frozen():
        answers = [side_port.get("/readyz")[0] for _ in range(2)]
        store_up = side_port.value("manmanv2_store_up")

    assert answers == [503, 503]
    assert store_up == 0
    eventually(lambda: side_port.get("/readyz")[0] == 200, "the database", api)


def test_an_api_that_stops_is_not_ready(start_api: StartApi, own_postgres: PostgresCluster) -> None:
    url = own_postgres.create_database()
    run_to_end("manmanv2", "db", "upgrade", DATABASE_URL=url)
    api = start_api(url, **ANYWHERE)
    side_port = SidePort(api)
    with own_postgres.frozen(), ThreadPoolExecutor(1) as caller:
        # A call in flight keeps it from ending.
        caller.submit(code_of_heartbeat, api, pb.HeartbeatRequest(server_id=1))
        time.sleep(1)
        os.kill(api.pid, signal.SIGTERM)
        api.wait_until_said("draining")

        eventually(lambda: "does not take calls" in side_port.get("/readyz")[1], "the drain", api)
        assert run_to_end("manmanv2-api", "health", LISTEN_ADDRESS=api.address).returncode == 69


def test_processes_that_share_a_port_are_counted_together(
    start_api: StartApi, tmp_path: Path, rabbitmq_url: str
) -> None:
    api = start_api(
        f"sqlite:///{tmp_path}/fleet.sqlite3",
        address=free_address(),
        API_WORKERS="2",
        RABBITMQ_URL=rabbitmq_url,
        HEARTBEAT_INTERVAL_SECONDS="60",
        **ANYWHERE,
    )
    side_port = SidePort(api)
    for number in range(40):
        # A connection each, which the kernel spreads over the processes.
        with client(api.address) as stub:
            stub.RegisterServer(pb.RegisterServerRequest(name=f"host-{number}"))
    workers = psutil.Process(api.pid).children()

    assert side_port.value(called("RegisterServer", "OK")) == 40
    assert side_port.value('manmanv2_servers{environment="",status="online"}') == 40
    assert side_port.get("/readyz") == (200, "ready\n")
    eventually(lambda: side_port.value("manmanv2_broker_up") == 1, "the broker", api)
    serving = [worker for worker in workers if "spawn_main" in " ".join(worker.cmdline())]
    assert len(serving) == 2
    serving[0].kill()
    api.wait_until_said("starting another")
    assert side_port.value(called("RegisterServer", "OK")) == 40


def test_events_that_wait_for_the_broker_are_seen(
    start_api: StartApi, rabbitmq: RabbitBroker
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq.url(), **ANYWHERE)
    side_port = SidePort(api)
    eventually(lambda: side_port.value("manmanv2_broker_up") == 1, "the broker", api)
    rabbitmq.stop()
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="one"))

    eventually(lambda: side_port.value("manmanv2_broker_up") == 0, "the broker's absence", api)
    assert (side_port.value("manmanv2_outbox_events") or 0) >= 2
    eventually(
        lambda: (side_port.value("manmanv2_outbox_oldest_event_age_seconds") or 0) > 1, "age", api
    )
    assert side_port.get("/readyz") == (200, "ready\n")
    rabbitmq.start()
    eventually(lambda: side_port.value("manmanv2_outbox_events") == 0, "the events", api)
    eventually(lambda: side_port.value("manmanv2_broker_up") == 1, "the broker", api)
    assert (side_port.value("manmanv2_events_published_total") or 0) >= 2


def test_a_port_that_is_taken_stops_nobody(start_api: StartApi, api: Api) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        watched = start_api("memory://", METRICS_ADDRESS=taken)
        said = watched.wait_until_said("METRICS_ADDRESS")

    assert said.startswith(f"METRICS_ADDRESS: {taken} cannot be listened on")
    assert code_of_heartbeat(watched, pb.HeartbeatRequest(server_id=1)) is (
        grpc.StatusCode.NOT_FOUND
    )


def test_who_talks_nonsense_to_the_side_port_is_sent_away(start_api: StartApi) -> None:
    api = start_api("memory://", **ANYWHERE)
    side_port = SidePort(api)
    host, port = side_port.address.split(":")
    for nonsense in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"PUT / HTTP/1.1\r\n\r\n", b""):
        with socket.create_connection((host, int(port)), 10) as stranger:
            stranger.sendall(nonsense)
            stranger.shutdown(socket.SHUT_WR)
            stranger.recv(1000)

    assert side_port.get("/healthz") == (200, "ok\n")
    assert side_port.get("/elsewhere")[0] == 404
    assert not [event for event in api.events if event["level"] not in ("info", "warning")]


def test_a_host_tells_how_it_is(start_api: StartApi, start_host: StartHost) -> None:
    api = start_api("memory://")
    host = start_host(api.address, SERVER_NAME="box", **ANYWHERE)
    side_port = SidePort(host)
    acknowledged = 'manmanv2_host_heartbeats_total{result="acknowledged"}'
    eventually(lambda: (side_port.value(acknowledged) or 0) >= 1, "a heartbeat", host)
    found = side_port.samples()
    last = "manmanv2_host_last_acknowledged_heartbeat_timestamp_seconds"

    assert side_port.get("/readyz") == (200, "ready\n")
    assert found['manmanv2_host_state{state="running"}'] == 1
    assert found['manmanv2_host_state{state="registering"}'] == 0
    assert time.time() - 60 < found[last] <= time.time()
    assert found["manmanv2_host_docker_up"] == 0
    assert run_to_end("manmanv2-host", "health", METRICS_ADDRESS=side_port.address).returncode == 0
    api.kill()
    eventually(lambda: side_port.get("/readyz")[0] == 503, "the API's absence", host)
    assert "the API did not acknowledge the last heartbeat" in side_port.get("/readyz")[1]
    assert (side_port.value('manmanv2_host_heartbeats_total{result="failed"}') or 0) >= 1
    assert side_port.get("/healthz")[0] == 200


def test_a_host_whose_docker_answers_says_so(
    api: Api, start_host: StartHost, docker_engine: str
) -> None:
    host = start_host(api.address, SERVER_NAME="box", DOCKER_SOCKET=docker_engine, **ANYWHERE)
    host.wait_until_said("Registered")

    assert SidePort(host).value("manmanv2_host_docker_up") == 1


@pytest.mark.parametrize(
    ("command", "variables", "exit_code", "said"),
    [
        ("manmanv2-api", {"LISTEN_ADDRESS": "0.0.0.0:1"}, 69, "the API at 127.0.0.1:1"),
        ("manmanv2-host", {"METRICS_ADDRESS": "127.0.0.1:1"}, 69, "nothing answers at 127.0.0.1:1"),
        ("manmanv2-host", {"METRICS_ADDRESS": ""}, 78, "METRICS_ADDRESS: must be set"),
    ],
)
def test_health_says_what_is_not_well(
    command: str, variables: dict[str, str], exit_code: int, said: str
) -> None:
    ended = run_to_end(command, "health", **variables)

    assert ended.returncode == exit_code
    assert ended.stderr.startswith(f"{command}: {said}")
    assert ended.stderr.count("\n") == 1


def test_an_api_that_serves_is_healthy(api: Api) -> None:
    ended = run_to_end("manmanv2-api", "health", LISTEN_ADDRESS=api.address)

    assert (ended.returncode, ended.stdout) == (0, "ok\n")
