import json
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.processes import Api, Process, client, eventually, run_to_end, servers
from tests.support.services.docker_engine import find_engine

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

KEY = canary("registration key")


def test_a_host_joins_with_dockers_figures(
    postgres_url: str, docker_engine: str, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api(postgres_url, REGISTRATION_KEY=KEY)
    start_host(
        api.address,
        REGISTRATION_KEY=KEY,
        ENVIRONMENT="production",
        DOCKER_SOCKET=docker_engine,
        DOCKER_OPTIONAL="false",
    )
    name = f"{socket.gethostname()}-production"
    server = eventually(lambda: servers(api.address).get(name), "the server", api)
    engine = find_engine()

    assert engine
    assert server.status == "online"
    assert server.environment == "production"
    assert server.capabilities.docker_version == engine.version
    assert server.capabilities.cpu_cores == psutil.cpu_count()
    assert 0 < server.capabilities.available_memory_mb <= server.capabilities.total_memory_mb


def test_heartbeats_update_when_a_host_was_seen(api: Api, start_host: StartHost) -> None:
    start_host(api.address, SERVER_NAME="box")
    first = eventually(lambda: servers(api.address).get("box"), "the server", api).last_seen

    assert eventually(lambda: servers(api.address)["box"].last_seen > first + 2, "heartbeats", api)
    assert servers(api.address)["box"].status == "online"


def test_managers_for_several_environments_on_one_machine_are_separate_servers(
    api: Api, start_host: StartHost
) -> None:
    for environment in ("dev", "production"):
        start_host(api.address, ENVIRONMENT=environment)
    eventually(lambda: len(servers(api.address)) == 2, "both", api)
    by_name = servers(api.address)
    hostname = socket.gethostname()

    assert by_name.keys() == {f"{hostname}-dev", f"{hostname}-production"}
    assert {server.environment for server in by_name.values()} == {"dev", "production"}


def test_a_stopped_host_is_offline_at_once(api: Api, start_host: StartHost) -> None:
    host = start_host(api.address, SERVER_NAME="box")
    host.wait_until_logged("Registered")
    exit_code = host.terminate()

    assert exit_code == 0
    assert servers(api.address)["box"].status == "offline"


def test_a_host_that_dies_goes_offline_by_its_silence(api: Api, start_host: StartHost) -> None:
    host = start_host(api.address, SERVER_NAME="box")
    host.wait_until_logged("Registered")
    host.kill()

    assert servers(api.address)["box"].status == "online"
    assert eventually(lambda: servers(api.address)["box"].status == "offline", "silence", api)


def test_a_host_with_a_wrong_key_ends_with_one_sentence(
    start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://", REGISTRATION_KEY=KEY)
    host = start_host(api.address, REGISTRATION_KEY=canary("other key"))
    exit_code = host.wait()

    assert exit_code == 77
    assert "set REGISTRATION_KEY to the API's key" in host.events[-1]["event"]
    assert [event["level"] for event in host.events].count("error") == 1
    assert servers(api.address) == {}


def test_a_key_may_come_from_a_file_on_both_sides(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    api = start_api("memory://", REGISTRATION_KEY_FILE=str(key_file))
    host = start_host(api.address, REGISTRATION_KEY_FILE=str(key_file), SERVER_NAME="box")

    assert host.wait_until_logged("Registered")


def test_a_server_deleted_under_its_running_host_comes_back_as_a_new_one(
    api: Api, start_host: StartHost
) -> None:
    start_host(api.address, SERVER_NAME="box")
    before = eventually(lambda: servers(api.address).get("box"), "the server", api).server_id
    with client(api.address) as stub:
        stub.DeleteServer(pb.DeleteServerRequest(server_id=before, force=True))
    after = eventually(lambda: servers(api.address).get("box"), "a new registration", api).server_id

    assert after > before


def test_configuration_reaches_the_host_and_is_removed_again(
    api: Api, start_host: StartHost, tmp_path: Path
) -> None:
    folder = tmp_path / "config"
    start_host(api.address, SERVER_NAME="box", CONFIG_DIR=str(folder))
    eventually(lambda: servers(api.address).get("box"), "the server", api)
    put = ["configs", "put", "1", "limits"]
    run_to_end("manmanv2", *put, stdin='{"players": 16}', API_ADDRESS=api.address)
    eventually((folder / "limits.json").exists, "the first document")
    run_to_end("manmanv2", *put, stdin='{"players": 32}', API_ADDRESS=api.address)

    document = folder / "limits.json"
    assert eventually(
        lambda: json.loads(document.read_text()) == {"players": 32}, "the second document"
    )

    run_to_end("manmanv2", "configs", "delete", "1", "limits", API_ADDRESS=api.address)

    assert eventually(lambda: not document.exists(), "the document to go")


@pytest.mark.parametrize("command", ["manmanv2-api", "manmanv2-host", "manmanv2"])
def test_every_command_prints_its_version_and_its_settings(command: str) -> None:
    version = run_to_end(command, "--version")
    help_text = run_to_end(command, "--help")

    assert version.returncode == help_text.returncode == 0
    assert version.stdout.startswith(f"{command} ")
    assert "(default: " in help_text.stdout


@pytest.mark.parametrize("command", ["manmanv2-api", "manmanv2-host"])
def test_the_settings_are_printed_without_their_secrets(command: str) -> None:
    printed = run_to_end(
        command,
        "config",
        REGISTRATION_KEY=KEY,
        DATABASE_URL=f"postgresql://manman:{canary('password')}@db/manman",
    )

    assert printed.returncode == 0
    assert "REGISTRATION_KEY=(set, not shown)" in printed.stdout
