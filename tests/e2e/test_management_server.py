"""The metrics and health checks of an API and of a host."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest
from sqlalchemy import create_engine, text

from adapters.sql.engine import make_engine, sql_url
from entrypoints.settings import VERSION
from protos.manman.v1 import manman_pb2 as pb
from tests.support.processes import Api, Process, client, eventually, free_address, run_to_end
from tests.support.scraping import ManagementServer
from tests.support.services.postgres import PostgresCluster
from tests.support.services.rabbitmq import RabbitBroker

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


def workers(api: Api) -> list[psutil.Process]:
    children = psutil.Process(api.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_an_api_counts_calls_heartbeats_and_servers(start_api: StartApi, tmp_path: Path) -> None:
    api = start_api(f"sqlite:///{tmp_path}/fleet.sqlite3", **ANYWHERE)
    management_server = ManagementServer(api)
    with client(api.address) as stub:
        for name in ("one", "two", "three"):
            stub.RegisterServer(pb.RegisterServerRequest(name=name, environment="dev"))
        stub.Heartbeat(pb.HeartbeatRequest(server_id=1, leaving=True))
    absurd = pb.ServerCapabilities(total_memory_mb=-1)
    code_of_heartbeat(api, pb.HeartbeatRequest(server_id=2, capabilities=absurd))
    code_of_heartbeat(api, pb.HeartbeatRequest(server_id=99))
    samples = management_server.samples()

    assert samples[called("RegisterServer", "OK")] == 3
    assert samples[called("Heartbeat", "OK")] == 1
    assert samples[called("Heartbeat", "NOT_FOUND")] == 1
    assert samples[called("Heartbeat", "INVALID_ARGUMENT")] == 1
    counted = f'grpc_server_handling_seconds_count{{grpc_method="Heartbeat",{CALL}}}'
    assert samples[counted] == 3
    assert samples['manmanv2_heartbeats_total{result="acknowledged",via="grpc"}'] == 1
    assert samples['manmanv2_heartbeats_total{result="unknown_server",via="grpc"}'] == 1
    assert samples['manmanv2_heartbeats_total{result="invalid",via="grpc"}'] == 1
    assert samples['manmanv2_heartbeat_batch_size_sum{via="grpc"}'] == 3
    assert samples['manmanv2_heartbeat_commit_seconds_count{via="grpc"}'] == 3
    assert samples['manmanv2_servers{environment="dev",status="online"}'] == 2
    assert samples['manmanv2_servers{environment="dev",status="offline"}'] == 1
    assert samples["manmanv2_heartbeat_interval_seconds"] == 1
    assert samples["manmanv2_store_up"] == 1
    assert samples["process_start_time_seconds"] <= time.time()
    assert "manmanv2_broker_up" not in samples


def test_silent_servers_are_counted(start_api: StartApi) -> None:
    api = start_api("memory://", **ANYWHERE)
    management_server = ManagementServer(api)
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="one"))

    eventually(
        lambda: management_server.value("manmanv2_servers_expired_total") == 1, "silence", api
    )
    looks = management_server.value("manmanv2_sweep_seconds_count")
    assert looks
    assert looks > 10


def test_the_build_is_reported(start_api: StartApi) -> None:
    api = start_api("memory://", MANMANV2_COMMIT="0123abc", **ANYWHERE)
    version = run_to_end("manmanv2-api", "--version", MANMANV2_COMMIT="0123abc").stdout

    assert version.endswith(" (0123abc)\n")
    build_info = f'manmanv2_build_info{{commit="0123abc",component="api",version="{VERSION}"}}'
    assert ManagementServer(api).value(build_info) == 1


def test_an_api_is_ready_as_long_as_its_database_answers(
    start_api: StartApi, own_postgres: PostgresCluster
) -> None:
    url = own_postgres.create_database()
    run_to_end("manmanv2", "db", "upgrade", DATABASE_URL=url)
    api = start_api(url, **ANYWHERE)
    management_server = ManagementServer(api)

    assert management_server.get("/readyz") == (200, "ready\n")
    assert management_server.get("/healthz") == (200, "ok\n")
    own_postgres.stop()
    status, why = management_server.get("/readyz")
    assert status == 503
    assert why == "not ready: the store does not answer: see the log, and check DATABASE_URL\n"
    assert management_server.value("manmanv2_store_up") == 0
    assert management_server.get("/healthz") == (200, "ok\n")
    own_postgres.start()
    eventually(lambda: management_server.get("/readyz")[0] == 200, "the database", api)
    assert management_server.value("manmanv2_store_up") == 1


def test_a_database_that_hangs_delays_no_probe_and_no_scrape(
    start_api: StartApi, own_postgres: PostgresCluster
) -> None:
    url = own_postgres.create_database()
    run_to_end("manmanv2", "db", "upgrade", DATABASE_URL=url)
    api = start_api(url, **ANYWHERE)
    management_server = ManagementServer(api)
    with own_postgres.frozen():
        answers = [management_server.get("/readyz")[0] for _ in range(2)]
        store_up = management_server.value("manmanv2_store_up")

    assert answers == [503, 503]
    assert store_up == 0
    eventually(lambda: management_server.get("/readyz")[0] == 200, "the database", api)


def test_an_api_that_stops_is_not_ready(start_api: StartApi, postgres_url: str) -> None:
    api = start_api(postgres_url, **ANYWHERE)
    management_server = ManagementServer(api)
    with client(api.address) as stub:
        stub.CreateServer(pb.CreateServerRequest(name="one"))
    engine = create_engine(sql_url(postgres_url))
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with (
        engine.begin() as holder,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher,
        ThreadPoolExecutor(1) as caller,
    ):
        # A call in flight keeps the API from exiting.
        holder.execute(text("SELECT server_id FROM servers FOR UPDATE"))
        caller.submit(code_of_heartbeat, api, pb.HeartbeatRequest(server_id=1))
        eventually(lambda: watcher.scalar(waiting), "the heartbeat to wait", api)
        os.kill(api.pid, signal.SIGTERM)
        api.wait_until_logged("Draining")

        eventually(
            lambda: "does not take calls" in management_server.get("/readyz")[1], "the drain", api
        )
        assert run_to_end("manmanv2-api", "health", LISTEN_ADDRESS=api.address).returncode == 69
    engine.dispose()


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
    management_server = ManagementServer(api)
    for number in range(40):
        # One connection per call: the kernel spreads connections over the processes.
        with client(api.address) as stub:
            stub.RegisterServer(pb.RegisterServerRequest(name=f"host-{number}"))

    assert management_server.value(called("RegisterServer", "OK")) == 40
    assert management_server.value('manmanv2_servers{environment="",status="online"}') == 40
    assert management_server.get("/readyz") == (200, "ready\n")
    eventually(lambda: management_server.value("manmanv2_broker_up") == 1, "the broker", api)
    workers(api)[0].kill()
    api.wait_until_logged("starting another")
    assert management_server.value(called("RegisterServer", "OK")) == 40


def test_counts_outlive_their_process_and_their_directory(
    start_api: StartApi, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/fleet.sqlite3"
    options = {"API_WORKERS": "2", "TMPDIR": str(tmp_path), **ANYWHERE}
    killed = start_api(url, address=free_address(), **options)
    [left] = tmp_path.glob("manmanv2-metrics-*")
    killed.kill()
    api = start_api(url, address=free_address(), **options)
    [folder] = tmp_path.glob("manmanv2-metrics-*")
    eventually(lambda: api.count("Serving on") == 2, "both workers", api)
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="one"))
    for worker in workers(api):
        worker.kill()
    eventually(lambda: api.count("Serving on") == 4, "other workers", api)
    counted = ManagementServer(api).value(called("RegisterServer", "OK"))

    assert left != folder
    assert counted == 1
    assert len(list(folder.glob("counter_*.db"))) <= 3
    shutil.rmtree(folder)
    for worker in workers(api):
        worker.kill()
    eventually(lambda: api.count("Serving on") == 6, "other workers", api)
    assert code_of_heartbeat(api, pb.HeartbeatRequest(server_id=1)) is grpc.StatusCode.OK
    assert api.terminate() == 0
    assert not list(tmp_path.glob("manmanv2-metrics-*"))


def test_a_call_abandoned_by_its_caller_is_counted(start_api: StartApi, postgres_url: str) -> None:
    api = start_api(postgres_url, **ANYWHERE)
    management_server = ManagementServer(api)
    engine = make_engine(postgres_url)
    with engine.begin() as holder, client(api.address) as stub:
        holder.execute(text("LOCK TABLE servers"))
        with pytest.raises(grpc.RpcError):
            stub.GetServer(pb.GetServerRequest(server_id=1), timeout=2)

        eventually(
            lambda: management_server.value(called("GetServer", "CANCELLED")) == 1, "it", api
        )
    engine.dispose()


def test_an_event_of_a_newer_version_leaves_the_api_ready(
    start_api: StartApi, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/fleet.sqlite3"
    api = start_api(url, **ANYWHERE)
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="one"))
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE outbox SET kind = 'merged'"))
    engine.dispose()
    management_server = ManagementServer(api)

    assert management_server.get("/readyz") == (200, "ready\n")
    assert (management_server.value("manmanv2_outbox_events") or 0) >= 1


def test_the_health_check_ignores_a_proxy(start_api: StartApi, start_host: StartHost) -> None:
    proxy = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "http://127.0.0.1:1")
    api = start_api("memory://", **ANYWHERE, **proxy)
    host = start_host(api.address, SERVER_NAME="box", **proxy)
    host.wait_until_logged("Registered")

    assert ManagementServer(api).get("/readyz") == (200, "ready\n")
    assert run_to_end("manmanv2-api", "health", LISTEN_ADDRESS=api.address, **proxy).returncode == 0
    listed = run_to_end("manmanv2", "servers", "list", API_ADDRESS=api.address, **proxy)
    assert "box" in listed.stdout


def test_another_process_at_the_port_does_not_stand_for_a_host(start_api: StartApi) -> None:
    management_server = ManagementServer(start_api("memory://", **ANYWHERE))
    ended = run_to_end("manmanv2-host", "health", METRICS_ADDRESS=management_server.address)

    assert ended.returncode == 69
    assert "is not manmanv2-host" in ended.stderr


def test_waiting_events_are_measured(start_api: StartApi, rabbitmq: RabbitBroker) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq.url(), **ANYWHERE)
    management_server = ManagementServer(api)
    eventually(lambda: management_server.value("manmanv2_broker_up") == 1, "the broker", api)
    rabbitmq.stop()
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="one"))

    eventually(
        lambda: management_server.value("manmanv2_broker_up") == 0, "the broker's absence", api
    )
    assert (management_server.value("manmanv2_outbox_events") or 0) >= 2
    eventually(
        lambda: (management_server.value("manmanv2_outbox_oldest_event_age_seconds") or 0) > 1,
        "age",
        api,
    )
    assert management_server.get("/readyz") == (200, "ready\n")
    rabbitmq.start()
    eventually(lambda: management_server.value("manmanv2_outbox_events") == 0, "the events", api)
    eventually(lambda: management_server.value("manmanv2_broker_up") == 1, "the broker", api)
    assert (management_server.value("manmanv2_events_published_total") or 0) >= 2


def test_a_taken_management_port_is_a_warning(start_api: StartApi, api: Api) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        watched = start_api("memory://", METRICS_ADDRESS=taken)
        message = watched.wait_until_logged("METRICS_ADDRESS")

    assert message.startswith(f"METRICS_ADDRESS: cannot listen on {taken}")
    assert code_of_heartbeat(watched, pb.HeartbeatRequest(server_id=1)) is (
        grpc.StatusCode.NOT_FOUND
    )


def test_nonsense_at_the_management_port_is_refused(start_api: StartApi) -> None:
    api = start_api("memory://", **ANYWHERE)
    management_server = ManagementServer(api)
    host, port = management_server.address.split(":")
    for nonsense in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"PUT / HTTP/1.1\r\n\r\n", b""):
        with socket.create_connection((host, int(port)), 10) as stranger:
            stranger.sendall(nonsense)
            stranger.shutdown(socket.SHUT_WR)
            stranger.recv(1000)

    assert management_server.get("/healthz") == (200, "ok\n")
    assert management_server.get("/elsewhere")[0] == 404
    assert not [event for event in api.events if event["level"] not in ("info", "warning")]


def test_a_host_reports_its_health(start_api: StartApi, start_host: StartHost) -> None:
    api = start_api("memory://")
    host = start_host(api.address, SERVER_NAME="box", **ANYWHERE)
    management_server = ManagementServer(host)
    acknowledged = 'manmanv2_host_heartbeats_total{result="acknowledged"}'
    eventually(lambda: (management_server.value(acknowledged) or 0) >= 1, "a heartbeat", host)
    samples = management_server.samples()
    last = "manmanv2_host_last_acknowledged_heartbeat_timestamp_seconds"

    assert management_server.get("/readyz") == (200, "ready\n")
    assert samples['manmanv2_host_state{state="running"}'] == 1
    assert samples['manmanv2_host_state{state="registering"}'] == 0
    assert time.time() - 60 < samples[last] <= time.time()
    assert samples["manmanv2_host_docker_up"] == 0
    assert (
        run_to_end("manmanv2-host", "health", METRICS_ADDRESS=management_server.address).returncode
        == 0
    )
    api.kill()
    eventually(lambda: management_server.get("/readyz")[0] == 503, "the API's absence", host)
    assert "the API did not acknowledge the last heartbeat" in management_server.get("/readyz")[1]
    assert (management_server.value('manmanv2_host_heartbeats_total{result="failed"}') or 0) >= 1
    assert management_server.get("/healthz")[0] == 200


def test_a_host_whose_docker_answers_says_so(
    api: Api, start_host: StartHost, docker_engine: str
) -> None:
    host = start_host(api.address, SERVER_NAME="box", DOCKER_SOCKET=docker_engine, **ANYWHERE)
    host.wait_until_logged("Registered")

    assert ManagementServer(host).value("manmanv2_host_docker_up") == 1


@pytest.mark.parametrize(
    ("command", "variables", "exit_code", "message"),
    [
        ("manmanv2-api", {"LISTEN_ADDRESS": "0.0.0.0:1"}, 69, "The API at 127.0.0.1:1"),
        (
            "manmanv2-host",
            {"METRICS_ADDRESS": "127.0.0.1:1"},
            69,
            "No process answers at 127.0.0.1:1",
        ),
        ("manmanv2-host", {"METRICS_ADDRESS": ""}, 78, "METRICS_ADDRESS: must be set"),
    ],
)
def test_health_names_the_problem(
    command: str, variables: dict[str, str], exit_code: int, message: str
) -> None:
    ended = run_to_end(command, "health", **variables)

    assert ended.returncode == exit_code
    assert ended.stderr.startswith(f"{command}: {message}")
    assert ended.stderr.count("\n") == 1


def test_an_api_that_serves_is_healthy(api: Api) -> None:
    ended = run_to_end("manmanv2-api", "health", LISTEN_ADDRESS=api.address)

    assert (ended.returncode, ended.stdout) == (0, "ok\n")
