"""How the API starts, serves and stops."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import psutil
import psycopg2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.processes import (
    Api,
    Process,
    client,
    eventually,
    free_address,
    run_to_end,
    servers,
)

StartApi = Callable[..., Api]


def health(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="manman.v1.ManManAPI")
        return int(stub.Check(request, timeout=100).status)


def test_memory_mode_runs_without_any_file(start_api: StartApi, tmp_path: Path) -> None:
    api = start_api("memory://", HOME=str(tmp_path))

    assert health(api.address) == health_pb2.HealthCheckResponse.SERVING
    assert api.terminate() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_start_without_a_registration_key_warns_that_any_host_may_register(
    start_api: StartApi,
) -> None:
    api = start_api("memory://")

    warnings = [event["event"] for event in api.events if event["level"] == "warning"]
    assert warnings == [
        "REGISTRATION_KEY is not set: any host that can reach this API may register"
    ]


def test_only_the_threads_of_grpc_are_scheduled_as_a_batch_job(start_api: StartApi) -> None:
    """Scheduling classes as `ps -L -o cls,comm` prints them: B and TS."""
    api = start_api("memory://")

    policies = {
        int(task.name): os.sched_getscheduler(int(task.name))
        for task in Path(f"/proc/{api.pid}/task").iterdir()
    }
    assert policies.pop(api.pid) == os.SCHED_OTHER
    assert os.SCHED_BATCH in policies.values()


def test_reflection_is_off_by_default(start_api: StartApi) -> None:
    with grpc.insecure_channel(start_api("memory://").address) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            list(ProtoReflectionDescriptorDatabase(channel).get_services())

        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

    with grpc.insecure_channel(start_api("memory://", GRPC_REFLECTION="true").address) as channel:
        names = ProtoReflectionDescriptorDatabase(channel).get_services()

        assert "manman.v1.ManManAPI" in names


def test_a_stopping_api_finishes_the_calls_in_flight(
    postgres_url: str, start_api: StartApi
) -> None:
    api = start_api(postgres_url)
    with client(api.address) as stub, ThreadPoolExecutor(32) as threads:
        calls = [
            threads.submit(
                stub.RegisterServer, pb.RegisterServerRequest(name=f"box-{number}"), timeout=120
            )
            for number in range(200)
        ]
        eventually(lambda: any(call.done() for call in calls), "the first answer")
        exit_code = api.terminate()
        failures = [call.exception() for call in calls]
        answered = [call.result().server.name for call in calls if not call.exception()]

    # A call that arrives too late gets an error that the client retries. No call hangs.
    codes = {failure.code() for failure in failures if isinstance(failure, grpc.RpcError)}
    assert codes <= {grpc.StatusCode.UNAVAILABLE}
    assert exit_code == 0
    by_name = servers(start_api(postgres_url).address)
    assert set(answered) <= by_name.keys()


def test_the_health_service_reports_not_serving_while_the_api_drains(start_api: StartApi) -> None:
    api = start_api("memory://")
    with grpc.insecure_channel(api.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        statuses = [next(watch).status]
        with ThreadPoolExecutor(1) as threads:
            ending = threads.submit(api.terminate)
            statuses.append(next(watch).status)
            watch.cancel()

    assert statuses == [
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    ]
    assert ending.result() == 0


def test_workers_share_one_port_and_a_dead_worker_is_replaced(
    postgres_url: str, start_api: StartApi
) -> None:
    address = free_address()
    api = start_api(postgres_url, address=address, API_WORKERS="2")
    eventually(lambda: api.count("Serving on") == 2, "both workers", api)

    def workers() -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process(api.pid).children()
            if any("spawn_main" in word for word in child.cmdline())
        ]

    killed = workers()[0]
    killed.kill()
    eventually(lambda: api.count("Serving on") == 3, "a third worker", api)

    assert killed.pid not in {worker.pid for worker in workers()}
    assert len(workers()) == 2
    assert servers(address) == {}
    assert api.terminate() == 0


def test_workers_end_when_their_supervisor_is_killed(
    postgres_url: str, start_api: StartApi
) -> None:
    api = start_api(postgres_url, address=free_address(), API_WORKERS="2")
    eventually(lambda: api.count("Serving on") == 2, "both workers", api)
    family = psutil.Process(api.pid).children()
    psutil.Process(api.pid).kill()

    ended, alive = psutil.wait_procs(family, timeout=120)
    assert len(ended) == len(family)
    assert not alive


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_reported_in_one_sentence(
    start_api: StartApi, postgres_url: str, workers: str
) -> None:
    api = start_api("memory://")
    second = run_to_end(
        "manmanv2-api",
        DATABASE_URL=postgres_url,
        LISTEN_ADDRESS=api.address,
        API_WORKERS=workers,
        LOG_LEVEL="error",
    )

    assert second.returncode == 69
    assert second.stderr.count("\n") == 1
    assert second.stderr.startswith(
        f"manmanv2-api: LISTEN_ADDRESS: cannot listen on {api.address}: "
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_of_a_server_that_would_share_it_is_in_use_too(workers: str, tmp_path: Path) -> None:
    """Like most gRPC servers do: each of the two would get some of the other's calls."""
    other = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 1)])
    address = f"127.0.0.1:{other.add_insecure_port('127.0.0.1:0')}"
    other.start()

    api = run_to_end(
        "manmanv2-api",
        DATABASE_URL=f"sqlite:///{tmp_path}/fleet.sqlite3",
        LISTEN_ADDRESS=address,
        API_WORKERS=workers,
        LOG_LEVEL="error",
    )
    other.stop(None).wait()

    assert api.returncode == 69
    assert api.stderr.startswith(f"manmanv2-api: LISTEN_ADDRESS: cannot listen on {address}: ")


# Our own words, so that they are not mistaken for a driver's.
PASSWORD = canary("database login")

BROKEN_DATABASES = {
    "nonsense": ("is not a database URL", 78),
    f"mysql://u:{PASSWORD}@h/d": ("must begin with", 78),
    "sqlite://": ("names no file", 78),
    f"postgresql://manman:{PASSWORD}@127.0.0.1:1/manman": ("nothing listens there", 69),
    f"postgresql://manman:{PASSWORD}@no.such.host.invalid/manman": ("does not resolve", 69),
    # The password contains an @ that should have been escaped.
    f"postgresql://manman:{PASSWORD}@{PASSWORD}@127.0.0.1/manman": ("does not resolve", 69),
    f"postgresql://manman:{PASSWORD}@127.0.0.1:notaport/manman": ("DATABASE_URL", 78),
    "sqlite://host/x.sqlite3": ("only the path of the file", 78),
    "sqlite:////tmp/x.sqlite3?timeout=abc": ("only the path of the file", 78),
    "postgresql://h/d?host=a&host=b&port=1": ("options that contradict each other", 78),
    f"postgresql://manman:{PASSWORD}@127.0.0.1/manman?nonsense=1": ("an option of this URL", 78),
    "sqlite:////no/such/folder/x.sqlite3": ("/no/such/folder does not exist", 78),
}


@pytest.mark.parametrize("url", BROKEN_DATABASES, ids=range(len(BROKEN_DATABASES)))
def test_an_invalid_database_url_is_reported_in_one_sentence(url: str) -> None:
    words, exit_code = BROKEN_DATABASES[url]
    ended = run_to_end("manmanv2-api", DATABASE_URL=url, LISTEN_ADDRESS="127.0.0.1:0")

    assert ended.returncode == exit_code
    assert ended.stderr.count("\n") == 1
    assert "DATABASE_URL" in ended.stderr
    assert words in ended.stderr


def test_a_missing_database_is_reported_in_one_sentence(postgres_url: str) -> None:
    ended = run_to_end("manmanv2-api", DATABASE_URL=f"{postgres_url}_missing")

    assert ended.returncode == 69
    assert ended.stderr == (
        "manmanv2-api: DATABASE_URL: the database cannot be reached: the server has no such user"
        " or database.\n"
    )


@pytest.mark.parametrize("damage", ["rubbish", "half"])
def test_a_damaged_sqlite_file_is_reported_in_one_sentence(
    start_api: StartApi, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "manman.sqlite3"
    api = start_api(f"sqlite:///{file}")
    with client(api.address) as stub:
        for number in range(300):
            stub.RegisterServer(pb.RegisterServerRequest(name=f"box-{number}" + "x" * 200))
    api.terminate()
    content = file.read_bytes()
    damaged = content[: len(content) // 2] if damage == "half" else b"rubbish" * 1000
    file.write_bytes(damaged)
    ended = run_to_end("manmanv2-api", DATABASE_URL=f"sqlite:///{file}")

    assert ended.returncode == 78
    assert ended.stderr.count("\n") == 1
    assert f"DATABASE_URL: {file} is damaged" in ended.stderr
    assert file.read_bytes() == damaged


def test_an_empty_postgresql_database_must_be_upgraded_first(
    postgres_url: str, postgres_server: object
) -> None:
    from tests.support.services.postgres import PostgresServer

    assert isinstance(postgres_server, PostgresServer)
    url = postgres_server.create_database()
    before = run_to_end("manmanv2-api", DATABASE_URL=url)
    upgraded = run_to_end("manmanv2", "db", "upgrade", DATABASE_URL=url)
    again = run_to_end("manmanv2", "db", "upgrade", DATABASE_URL=url)

    assert before.returncode == 78
    assert "run `manmanv2 db upgrade`" in before.stderr
    assert upgraded.returncode == again.returncode == 0
    assert postgres_url


@pytest.mark.cold_start
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_stop_at_any_moment_of_the_start_is_clean(
    postgres_url: str, workers: str, seconds: float
) -> None:
    api = Process(
        "manmanv2-api",
        DATABASE_URL=postgres_url,
        LISTEN_ADDRESS=free_address(),
        API_WORKERS=workers,
    )
    # Python runs, and the libraries are being loaded.
    eventually(lambda: psutil.Process(api.pid).memory_info().rss > 20_000_000, "the start", api)
    time.sleep(seconds)
    try:
        assert api.interrupt() == 0
    finally:
        api.kill()

    assert {event["level"] for event in api.events} <= {"info", "warning"}


def test_a_stop_while_a_dead_worker_is_replaced_ends_all_processes(
    postgres_url: str, start_api: StartApi
) -> None:
    api = start_api(postgres_url, address=free_address(), API_WORKERS="2")
    eventually(lambda: api.count("Serving on") == 2, "both workers", api)
    child = psutil.Process(api.pid).children()[-1]
    child.kill()
    api.wait_until_logged("starting another")

    assert api.terminate() == 0


def test_a_locked_row_delays_the_heartbeats_of_its_own_host_only(
    postgres_url: str, start_api: StartApi
) -> None:
    api = start_api(postgres_url)
    with client(api.address) as stub, closing(psycopg2.connect(postgres_url)) as other:
        for name in ("held", "free"):
            stub.RegisterServer(pb.RegisterServerRequest(name=name))
        other.cursor().execute("UPDATE servers SET environment = 'x' WHERE name = 'held'")
        with pytest.raises(grpc.RpcError) as refused:
            stub.Heartbeat(pb.HeartbeatRequest(server_id=1), timeout=120)
        answer = stub.Heartbeat(pb.HeartbeatRequest(server_id=2), timeout=120)
        other.rollback()

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert answer.acknowledged
