"""Rotates the registration key as docs/operations.md describes, without any restart."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.canary_secrets import canary
from tests.support.processes import (
    TIMEOUT_SECONDS,
    Api,
    Process,
    client,
    eventually,
    free_address,
    servers,
)

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

OLD, NEW = canary("old registration key"), canary("new registration key")
WORKERS = 2
NAMES = ("client 1", "client 2", "client 3")


@dataclass
class KeyFile:
    """Replace the file atomically, like Kubernetes does."""

    path: Path

    def holds(self, *keys: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(f"{key}\n" for key in keys))
        fresh.rename(self.path)


@dataclass
class Registrations:
    """Clients that register continuously, each time with one of the keys that are valid then."""

    address: str
    keys: Sequence[str]
    taken: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, name: str) -> None:
        turn = 0
        while not self._stopping.is_set():
            # Each connection may reach a different worker.
            with fresh_connection(self.address) as stub:
                for _ in range(10):
                    turn += 1
                    key = self.keys[turn % len(self.keys)]
                    request = pb.RegisterServerRequest(name=name, registration_key=key)
                    try:
                        stub.RegisterServer(request, timeout=TIMEOUT_SECONDS)
                        self.taken[name] += 1
                    except grpc.RpcError as error:
                        self.refused.append(f"{error.code()}: {error.details()}")
                    self._stopping.wait(0.1)

    def stop(self) -> None:
        self._stopping.set()

    def go_on(self) -> None:
        """Wait for more calls of each client, so that calls that began earlier have ended."""
        enough = {name: self.taken[name] + 5 for name in NAMES}
        eventually(
            lambda: all(self.taken[name] >= least for name, least in enough.items()),
            f"registrations; refused: {self.refused}",
        )


@contextmanager
def fresh_connection(address: str) -> Iterator[ManManAPIStub]:
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield ManManAPIStub(channel)


@contextmanager
def registering(address: str, *keys: str) -> Iterator[Registrations]:
    registrations = Registrations(address, keys)
    threads = [threading.Thread(target=registrations.run, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    try:
        yield registrations
    finally:
        registrations.stop()
        for thread in threads:
            thread.join()


def put(api: Api, document: str, *server_ids: int) -> None:
    with client(api.address) as stub:
        for server_id in server_ids:
            stub.PutConfiguration(
                pb.PutConfigurationRequest(server_id=server_id, name="limits", document=document)
            )


def refusals(address: str, key: str) -> set[str]:
    """The outcomes of the key over many connections, and so in each worker."""
    outcomes: set[str] = set()
    for _ in range(8 * WORKERS):
        with fresh_connection(address) as stub:
            try:
                stub.RegisterServer(pb.RegisterServerRequest(name="late", registration_key=key))
                outcomes.add("accepted")
            except grpc.RpcError as error:
                outcomes.add(str(error.details()))
    return outcomes


def test_no_client_and_no_host_is_refused_while_the_key_is_rotated_under_load(
    start_api: StartApi, start_host: StartHost, postgres_url: str, tmp_path: Path
) -> None:
    of_api = KeyFile(tmp_path / "key-of-api")
    of_hosts = [KeyFile(tmp_path / f"key-of-{name}") for name in ("one", "two")]
    for file in (of_api, *of_hosts):
        file.holds(OLD)
    api = start_api(
        postgres_url,
        address=free_address(),
        API_WORKERS=str(WORKERS),
        REGISTRATION_KEY_FILE=str(of_api.path),
    )

    def run_host(number: int) -> Process:
        return start_host(
            api.address,
            SERVER_NAME=f"host {number}",
            REGISTRATION_KEY_FILE=str(of_hosts[number].path),
            CONFIG_DIR=str(tmp_path / f"config-{number}"),
        )

    hosts = [run_host(number) for number in range(2)]
    for host in hosts:
        host.wait_until_logged("Registered as server")

    def configure(document: str) -> None:
        known = servers(api.address)
        put(api, document, *(known[f"host {number}"].server_id for number in range(2)))
        files = [tmp_path / f"config-{number}/limits.json" for number in range(2)]
        eventually(
            lambda: all(file.exists() and file.read_text() == document for file in files),
            document,
            *hosts,
        )

    def all_workers_say(words: str) -> None:
        eventually(lambda: api.count(words) == WORKERS, words, api)

    with registering(api.address, OLD) as registrations:
        registrations.go_on()
        # One host gets the new key before the API does.
        of_hosts[0].holds(NEW, OLD)
        configure("0")
        of_api.holds(OLD, NEW)
        all_workers_say("REGISTRATION_KEY_FILE has changed: 2 keys are now in use")
        registrations.keys = [OLD, NEW]
        for file in of_hosts:
            file.holds(NEW, OLD)
        registrations.go_on()
        configure("1")
        for file in of_hosts:
            file.holds(NEW)
        registrations.keys = [NEW]
        registrations.go_on()
        of_api.holds(NEW)
        all_workers_say("REGISTRATION_KEY_FILE has changed: 1 key is now in use")
        configure("2")
        with client(api.address) as stub:
            deleted = servers(api.address)["host 0"].server_id
            stub.DeleteServer(pb.DeleteServerRequest(server_id=deleted, force=True))
        eventually(lambda: hosts[0].count("Registered as server") == 2, "host 0 again", hosts[0])
        stopped = hosts[1].terminate()
        hosts[1] = run_host(1)
        hosts[1].wait_until_logged("Registered as server")
        registrations.go_on()

    assert registrations.refused == []
    assert stopped == 0
    assert all(host.running for host in hosts)
    assert not any(host.logged("invalid registration key") for host in hosts)
    assert refusals(api.address, OLD) == {"invalid registration key"}
    assert refusals(api.address, NEW) == {"accepted"}


def test_an_api_whose_key_file_is_emptied_admits_no_host_without_a_key(
    start_api: StartApi, tmp_path: Path
) -> None:
    file = KeyFile(tmp_path / "key")
    file.holds(NEW)
    api = start_api("memory://", REGISTRATION_KEY_FILE=str(file.path))
    file.holds()
    api.wait_until_logged("REGISTRATION_KEY_FILE contains no key")

    assert refusals(api.address, "") == {"invalid registration key"}
    assert refusals(api.address, NEW) == {"accepted"}
    assert api.count("REGISTRATION_KEY_FILE") == 1


def test_a_joined_host_fetches_with_its_credential_until_it_gets_the_new_key(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    of_api, of_host = KeyFile(tmp_path / "key-of-api"), KeyFile(tmp_path / "key-of-host")
    of_api.holds(OLD)
    of_host.holds(OLD)
    api = start_api("memory://", REGISTRATION_KEY_FILE=str(of_api.path))
    host = start_host(
        api.address,
        SERVER_NAME="box",
        REGISTRATION_KEY_FILE=str(of_host.path),
        CONFIG_DIR=str(tmp_path / "config"),
    )
    host.wait_until_logged("Registered as server 1")
    of_api.holds(NEW)
    api.wait_until_logged("REGISTRATION_KEY_FILE has changed")
    put(api, "{}", 1)
    host.wait_until_logged("The configuration is at revision 1")

    assert (tmp_path / "config/limits.json").read_text() == "{}"
    assert host.count("cannot be fetched") == 0
    assert servers(api.address)["box"].status == "online"


@pytest.mark.parametrize("transport", ["grpc", "amqp"])
def test_a_host_whose_keys_are_all_refused_when_it_starts_ends(
    rabbitmq_url: str, start_api: StartApi, start_host: StartHost, tmp_path: Path, transport: str
) -> None:
    file = KeyFile(tmp_path / "key")
    api = start_api("memory://", REGISTRATION_KEY=NEW, RABBITMQ_URL=rabbitmq_url)

    def run_host() -> Process:
        return start_host(
            api.address if transport == "grpc" else None,
            TRANSPORT=transport,
            RABBITMQ_URL=rabbitmq_url,
            SERVER_NAME="box",
            REGISTRATION_KEY_FILE=str(file.path),
        )

    file.holds(OLD, canary("older registration key"))
    refused = run_host()
    exit_code = refused.wait()
    file.holds(OLD, NEW)

    assert exit_code == 77
    assert refused.count("invalid registration key") == 1
    assert run_host().wait_until_logged("Registered as server 1")
