"""Everything that was acknowledged survives a restart: ids, configurations, registrations."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from adapters.sql.migrations import upgrade
from protos.manman.v1 import manman_pb2 as pb
from tests.support.processes import Api, Process, client, eventually, free_address, servers
from tests.support.services.postgres import PostgresCluster

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]


def put_configuration(api: Api, server_id: int) -> None:
    with client(api.address) as stub:
        stub.PutConfiguration(
            pb.PutConfigurationRequest(server_id=server_id, name="limits", document='{"a": 1}')
        )


def configuration(api: Api, server_id: int) -> str:
    with client(api.address) as stub:
        request = pb.GetConfigurationRequest(server_id=server_id, name="limits")
        return stub.GetConfiguration(request).configuration.document


def test_a_restarted_host_keeps_its_id_and_its_configuration(
    postgres_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api(postgres_url)
    for _ in range(2):
        host = start_host(api.address, SERVER_NAME="box")
        host.wait_until_logged("Registered as server 1 ")
        put_configuration(api, 1)
        host.terminate()

    assert servers(api.address)["box"].server_id == 1
    assert configuration(api, 1) == '{"a": 1}'


def test_a_restarted_api_continues_where_it_was(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'manman.sqlite3'}"
    api = start_api(url)
    host = start_host(api.address, SERVER_NAME="box")
    host.wait_until_logged("Registered as server 1 ")
    put_configuration(api, 1)
    api.terminate()
    host.wait_until_logged("Trying again")
    api = start_api(url, address=api.address)
    host.wait_until_logged("The API answers again")

    assert servers(api.address)["box"].server_id == 1
    assert servers(api.address)["box"].status == "online"
    assert configuration(api, 1) == '{"a": 1}'
    assert host.count("Registered") == 1


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_restarted_postgresql_disturbs_hosts_only_briefly(
    own_postgres: PostgresCluster, start_api: StartApi, start_host: StartHost, how: str
) -> None:
    url = own_postgres.create_database()
    upgrade(url)
    api = start_api(url)
    host = start_host(api.address, SERVER_NAME="box")
    host.wait_until_logged("Registered as server 1 ")
    put_configuration(api, 1)
    if how == "restart":
        own_postgres.restart()
    else:
        own_postgres.kill()
        host.wait_until_logged("Trying again")
        own_postgres.start()

    def seen() -> int:
        with suppress(grpc.RpcError):
            return servers(api.address)["box"].last_seen
        return 0

    first = eventually(seen, "an answer", api, host)

    assert eventually(lambda: seen() > first, "a heartbeat", api, host)
    assert servers(api.address)["box"].server_id == 1
    assert configuration(api, 1) == '{"a": 1}'
    assert not any("Traceback" in str(event) for event in host.events)


def test_nothing_acknowledged_is_missing_after_the_api_was_killed(
    postgres_url: str, start_api: StartApi
) -> None:
    api = start_api(postgres_url)
    acknowledged: dict[str, int] = {}

    with client(api.address) as stub, ThreadPoolExecutor(16) as threads:

        def register(number: int) -> None:
            name = f"box-{number}"
            with suppress(grpc.RpcError):
                answer = stub.RegisterServer(pb.RegisterServerRequest(name=name), timeout=120)
                acknowledged[name] = answer.server_id
            if len(acknowledged) == 100:
                api.kill()

        list(threads.map(register, range(200)))

    api = start_api(postgres_url)
    by_name = servers(api.address)

    assert 100 <= len(acknowledged) < 200
    assert {name: by_name[name].server_id for name in acknowledged} == acknowledged


def test_64_clients_that_register_one_new_name_at_once_get_one_id(
    postgres_url: str, start_api: StartApi
) -> None:
    apis = [start_api(postgres_url) for _ in range(2)]
    with (
        client(apis[0].address) as one,
        client(apis[1].address) as other,
        ThreadPoolExecutor(64) as threads,
    ):
        for attempt in range(8):
            request = pb.RegisterServerRequest(name=f"box-{attempt}")
            calls = [
                threads.submit((one, other)[number % 2].RegisterServer, request, timeout=120)
                for number in range(64)
            ]
            ids = {call.result().server_id for call in calls}

            assert len(ids) == 1

    assert len(servers(apis[0].address)) == 8


def test_a_host_waits_for_an_api_that_is_not_there_yet(
    start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://")
    api.terminate()
    host = start_host(api.address, SERVER_NAME="box")
    host.wait_until_logged("Trying again")
    start_api("memory://", address=api.address)

    assert host.wait_until_logged("Registered")
    assert eventually(lambda: host.count("Trying again") == 1, "one line, not one per try")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_api_whose_database_hangs_still_ends_when_it_is_stopped(
    own_postgres: PostgresCluster, start_api: StartApi, workers: str
) -> None:
    url = own_postgres.create_database()
    upgrade(url)
    api = start_api(url, address=free_address(), API_WORKERS=workers)
    eventually(lambda: api.count("Serving on") == int(workers), "every worker", api)
    with client(api.address) as stub, own_postgres.frozen():
        heartbeat = stub.Heartbeat.future(pb.HeartbeatRequest(server_id=1), timeout=120)
        # Time for the heartbeat, and for the relay of events, to reach the database. A frozen
        # database cannot be asked.
        time.sleep(1)
        exit_code = api.terminate()

    assert exit_code == 0
    assert heartbeat.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert api.count("does not answer: giving up the calls") == int(workers)
    assert not any("Traceback" in str(event) for event in api.events)
