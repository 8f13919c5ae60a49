"""A registration stays valid, or superseded, when the API that accepted it is gone."""

from collections.abc import Callable
from pathlib import Path

from protos.manman.v1 import manman_pb2 as pb
from tests.support.machines import FakeMachine
from tests.support.processes import Api, Process, client, eventually, servers

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]


def test_a_registration_survives_an_api_that_is_killed_after_it(
    postgres_url: str, start_api: StartApi, start_host: StartHost, machine: FakeMachine
) -> None:
    first = start_api(postgres_url)
    host = start_host(first.address, SERVER_NAME="web", **machine.settings)
    host.wait_until_logged("Registered as server 1")
    first.kill()
    second = start_api(postgres_url, address=first.address)

    registered = servers(second.address)["web"]
    eventually(
        lambda: servers(second.address)["web"].last_seen > registered.last_seen,
        "a heartbeat at the second API",
        host,
        second,
    )
    assert host.running
    assert host.count("Registered as") == 1


def test_a_host_superseded_at_one_api_is_told_by_another(
    postgres_url: str, start_api: StartApi, start_host: StartHost, machine: FakeMachine
) -> None:
    first, second = start_api(postgres_url), start_api(postgres_url)
    earlier = start_host(first.address, SERVER_NAME="web", **machine.settings)
    earlier.wait_until_logged("Registered as server 1")
    later = start_host(second.address, SERVER_NAME="web", **machine.settings)
    later.wait_until_logged("Registered as server 1")
    second.kill()

    assert earlier.wait() == 75
    assert earlier.logged("Server 1 was registered again by another host manager from 127.0.0.1")

    third = start_api(postgres_url, address=second.address)
    eventually(lambda: servers(third.address)["web"].status == "online", "web online", later)
    assert later.running


def test_epochs_keep_growing_when_everything_restarts(tmp_path: Path, start_api: StartApi) -> None:
    url = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
    epochs = []
    for _ in range(3):
        api = start_api(url)
        with client(api.address) as stub:
            answer = stub.RegisterServer(pb.RegisterServerRequest(name="web"))
        epochs.append(answer.epoch)
        api.kill()

    assert epochs == [1, 2, 3]
