"""A fleet whose hosts verify the API by their join key, and present certificates to it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.system.files.certificate_folder import DiskCertificateFolder
from adapters.x509.authority import read_authority
from domain.spiffe import server_common_name, server_spiffe_id
from tests.support.certificates import CertificateFiles
from tests.support.certified_api import NewKeyPairs
from tests.support.doctor import doctor
from tests.support.machines import FakeMachine
from tests.support.processes import Api, Process, eventually, free_address, run_to_end

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

LIFETIME = timedelta(seconds=60)
# A certificate of this age is a few seconds from half of its lifetime, when it is renewed.
ISSUED = timedelta(seconds=26)


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    files = CertificateFiles(tmp_path)
    files.issue()
    (tmp_path / "ca.key").write_bytes(files.ca.private_key_pem.bytes())
    return files


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[FakeMachine, dict[str, str]]]:
    """A machine with a Docker engine, and the settings of a host manager on it."""
    machine = FakeMachine.fresh(tmp_path / "machine")
    with machine.docker() as docker:
        yield machine, {"DOCKER_OPTIONAL": "false", **docker, **machine.settings_with_state}


def test_a_host_joins_with_a_pinned_key_and_stays_online_with_renewed_certificates(
    files: CertificateFiles,
    tmp_path: Path,
    start_api: StartApi,
    start_host: StartHost,
    machine: tuple[FakeMachine, dict[str, str]],
) -> None:
    # Development tools install these; they are loaded wherever they are installed.
    for name in ("yaml", "grpc_tools"):
        (tmp_path / f"{name}.py").write_text("raise ImportError\n")
    ca_key = tmp_path / "ca.key"
    authority = read_authority(files.ca_file, ca_key)
    api = start_api(
        f"sqlite:///{tmp_path / 'fleet.sqlite3'}",
        CA_CERT_PATH=str(files.ca_file),
        CA_KEY_PATH=str(ca_key),
        MTLS_LISTEN_ADDRESS=free_address(),
        HOST_CERTIFICATE_LIFETIME_SECONDS=str(LIFETIME.seconds),
        REGISTRATION_KEY_REQUIRED="true",
        ENFORCEMENT="certificate=enforce",
        **files.variables,
    )
    trust = {"API_ADDRESS": f"https://{api.address}", "API_CA_CERT_PATH": str(files.ca_file)}

    def run(*arguments: str) -> str:
        ended = run_to_end("manmanv2", *arguments, **trust)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def server() -> dict[str, Any]:
        server: dict[str, Any] = json.loads(run("servers", "show", "1", "-o", "json"))
        return server

    key = f"{run('keys', 'create').strip()}.{authority.digest}"
    itself, on_it = machine
    settings = {"SERVER_NAME": "box", "LOG_LEVEL": "debug", **on_it}
    report = doctor(API_ADDRESS=trust["API_ADDRESS"], REGISTRATION_KEY=key, **settings)
    host = start_host(trust["API_ADDRESS"], REGISTRATION_KEY=key, **settings)
    host.wait_until_logged("Registered as server 1 ")
    beats_by_certificate(host, server)
    host.kill()

    # A later start finds a certificate almost halfway through its life, and has no key any more.
    folder = DiskCertificateFolder(itself.state_dir)
    first, pair = folder.read(), NewKeyPairs()()
    assert first
    older = replace(authority, now=lambda: datetime.now(UTC) - ISSUED)
    certificate = older.issue(
        pair.signing_request,
        server_spiffe_id("manmanv2", 1),
        server_common_name(1, 1),
        LIFETIME,
    )
    folder.write(replace(first, certificate=certificate, key=pair.key))
    again = start_host(trust["API_ADDRESS"], **settings)
    again.wait_until_logged("Registered as server 1 ")
    beats_by_certificate(again, server)
    eventually(
        lambda: (stored := folder.read()) and stored.certificate != certificate,
        "another certificate",
        again,
    )
    beats_by_certificate(again, server)
    code = again.terminate()

    assert report.outcomes["API"] == report.outcomes["Key"] == "ok"
    assert code == 0
    assert again.logged("Stopped; the API shows server 1 as offline.")
    for process in (api, host, again):
        assert not process.logged("PRIVATE KEY")
    assert not warnings(host, again)


def beats_by_certificate(host: Process, server: Callable[[], dict[str, Any]]) -> None:
    """The API refuses heartbeats without a certificate."""
    seen = server()["last_seen"]
    eventually(lambda: server()["last_seen"] > seen, "a heartbeat", host)
    assert server()["status"] == "online"


def warnings(*hosts: Process) -> list[dict[str, Any]]:
    return [event for host in hosts for event in host.events if event["level"] == "warning"]
