"""Produces every symptom in docs/troubleshooting.md.

The lines that the document quotes under a heading are exactly the lines that our processes print.
"""

import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from adapters.grpc.client.api_probe import GrpcApiProbe
from adapters.grpc.client.host.api_trust import ApiTrust, AuthorityMismatch
from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.tls.trust import Tls
from adapters.sql.engine import sql_url
from adapters.sql.migrations import upgrade
from adapters.sql.schema import newest_revision
from adapters.system.files.authority_folder import DiskAuthorityFolder, ReadOnlyAuthorityFolder
from application.doctor.check_result import Cause, CheckResult
from application.host.key_ring import KeyRing
from application.ports.host.authority_folder import KnownAuthority
from application.ports.host.control_plane import ControlPlaneUnavailable
from domain.errors import TooManyCalls
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.certificates import CertificateFiles, tls_server, without_tls
from tests.support.certified import Site
from tests.support.doctor import (
    Report,
    doctor,
    doctor_without_privileges,
    without_privileges,
)
from tests.support.fake_servers import (
    api_with_clock,
    engine,
    port_behind_a_firewall,
    port_that_says,
    silent_port,
    silent_socket,
    tls_port,
)
from tests.support.machines import FakeMachine
from tests.support.processes import (
    Api,
    Process,
    client,
    eventually,
    free_address,
    run_to_end,
    servers,
)
from tests.support.repository import ROOT
from tests.support.services.postgres import PostgresCluster, PostgresServer
from tests.support.services.rabbitmq import RabbitBroker

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

KEY, OTHER_KEY = canary("key"), canary("other key")

DOCUMENT = ROOT / "docs" / "troubleshooting.md"
_SECTION = re.compile(r"^#{2,3} (.+)\n((?:(?!^#{2,3} ).*\n?)*)", re.MULTILINE)
_QUOTED = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Examples in the document that replace what differs from run to run.
_EXAMPLES = (
    (r"\buid \d+", "uid 997"),
    (r"in use by .+ \(pid \d+\)", "in use by nginx (pid 4711)"),
    (r"is \d+ s (ahead|behind)", r"is 90 s \1"),
    (r"heard \d+ s ago", "heard 4 s ago"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "2026-02-28 23:59:58 UTC"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "2026-02-28 23:59 UTC"),
    (r"\bTesting CA #[^\s),]+", "Our CA"),
    (r"\bRabbitMQ [\d.]+", "RabbitMQ 4.0.5"),
    (r"[^\s(=]+-[0-9a-f]{8}\b", "web1-5f0c2a9e"),
    (r"\S+-\?{8}", "web1-????????"),
)


def sections() -> Mapping[str, list[str]]:
    """The quoted lines below each heading."""
    return {
        title: "".join(_QUOTED.findall(body)).splitlines()
        for title, body in _SECTION.findall(DOCUMENT.read_text())
    }


def quoted(title: str) -> list[str]:
    return sections()[title]


def as_examples(lines: list[str], instead: Mapping[str, str]) -> list[str]:
    """The lines with the document's example addresses, paths and names instead of the test's."""
    examples = []
    for line in lines:
        for actual, example in instead.items():
            line = line.replace(actual, example)  # noqa: PLW2901 - it becomes the example
        for actual, example in _EXAMPLES:
            line = re.sub(actual, example, line)  # noqa: PLW2901
        examples.append(line)
    return examples


API = "api.example.com:50051"
BROKER = "broker.example.com:5672"
SOCKET = "/var/run/docker.sock"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, because the paths of sockets are limited."""
    with tempfile.TemporaryDirectory(prefix="manman") as name:
        yield Path(name)


@pytest.fixture
def docker_socket(folder: Path) -> Path:
    """The path of a socket that does not exist."""
    return folder / "docker.sock"


@pytest.fixture
def machine(folder: Path) -> FakeMachine:
    return FakeMachine.fresh(folder / "machine")


@pytest.fixture(scope="module")
def guarded(start_shared_api: StartApi) -> Api:
    return start_shared_api("memory://", REGISTRATION_KEY=KEY)


def broker_address(url: str) -> str:
    return url.rpartition("@")[2].partition("/")[0]


# Host managers and APIs, then the doctor


def refused(host: Process) -> list[str]:
    """The log lines of a host that ends because of its key."""
    assert host.wait() == 77
    return [event["event"] for event in host.events if "REGISTRATION_KEY" in event["event"]]


def unreachable(start_host: StartHost, address: str) -> list[str]:
    """The lines of a host that cannot reach the API, and of the doctor."""
    host = start_host(address, SERVER_NAME="web1")
    report = doctor(API_ADDRESS=address, SERVER_NAME="web1", DOCKER_OPTIONAL="true")
    line = host.wait_until_logged("Trying again until it answers.")

    assert host.running
    assert report.outcomes["Key"] == "skip"
    assert report.exit_code == 69
    return [line, report.of("API")]


def without_docker(
    path: Path,
    host_command: tuple[str, ...] = ("manmanv2-host",),
    ask: Callable[..., Report] = doctor,
) -> list[str]:
    """The lines of a host without Docker, and of the doctor."""
    settings = {"DOCKER_SOCKET": str(path), "SERVER_NAME": "web1"}
    host = Process(*host_command, **settings, API_ADDRESS=free_address())
    try:
        line = host.wait_until_logged("Trying again until it answers.")
    finally:
        host.kill()
    report = ask("host", **settings)

    assert report.exit_code == 69
    return [line, report.of("Docker")]


def starting_api(check: str, **settings: str) -> list[str]:
    """The lines of an API that cannot start, and of the doctor."""
    ended = run_to_end("manmanv2-api", **{"LISTEN_ADDRESS": "127.0.0.1:0", **settings})
    report = doctor("api", **settings)

    assert ended.returncode == report.exit_code != 0
    return [*ended.stderr.splitlines()[-1:], report.of(check)]


def test_nothing_is_quoted_without_being_seen_here() -> None:
    checked = set(re.findall(r'quoted\(\s*"([^"]+)"', Path(__file__).read_text()))

    assert {title for title, lines in sections().items() if lines} == checked


def test_a_host_without_a_problem(guarded: Api, docker_socket: Path, folder: Path) -> None:
    file, key_file = folder / "host.env", folder / "registration-key"
    file.write_text(f"API_ADDRESS={guarded.address}\nENVIRONMENT=production\n")
    key_file.write_text(KEY)
    with engine(docker_socket):
        report = doctor(
            *("host", "--env-file", str(file)),
            REGISTRATION_KEY_FILE=str(key_file),
            DOCKER_SOCKET=str(docker_socket),
            LOG_FORMAT="",
            METRICS_ADDRESS="",
        )
    examples = {
        guarded.address: API,
        ", DOCKER_SOCKET": "",
        str(docker_socket): SOCKET,
        str(file): "/etc/manmanv2/host.env",
        "the hostname that Docker reports": "hostname",
        f"{socket.gethostname()}-": "web1-",
    }

    assert report.exit_code == 0
    assert as_examples([report.head, *report.lines], examples) == quoted("Ask the doctor")


# Invalid registration key


def test_the_keys_differ(guarded: Api, start_host: StartHost) -> None:
    host = start_host(guarded.address, REGISTRATION_KEY=OTHER_KEY, SERVER_NAME="web1")
    report = doctor(API_ADDRESS=guarded.address, REGISTRATION_KEY=OTHER_KEY, SERVER_NAME="web1")

    assert as_examples([*refused(host), report.of("Key")], {guarded.address: API}) == quoted(
        "The keys differ"
    )


def test_blanks_around_the_key(guarded: Api, start_host: StartHost) -> None:
    host = start_host(guarded.address, REGISTRATION_KEY=f"{KEY} ", SERVER_NAME="web1")
    report = doctor(API_ADDRESS=guarded.address, REGISTRATION_KEY=f'"{KEY}"', SERVER_NAME="web1")
    same = doctor(API_ADDRESS=guarded.address, REGISTRATION_KEY=f"{KEY} ", SERVER_NAME="web1")

    assert report.of("Key") == same.of("Key")
    assert as_examples([*refused(host), report.of("Key")], {guarded.address: API}) == quoted(
        "There are blanks or quotes around the key"
    )


@pytest.mark.parametrize("command", ["manmanv2-host", "manmanv2-api"])
def test_a_line_end_in_the_key(command: str) -> None:
    ended = run_to_end(command, REGISTRATION_KEY=f"{KEY}\n")
    report = doctor(command.removeprefix("manmanv2-"), REGISTRATION_KEY=f"{KEY}\n")
    line = ended.stderr.replace("manmanv2-api: ", "manmanv2-host: ").strip()

    assert (ended.returncode, report.exit_code) == (78, 78)
    assert [line, report.of("Settings")] == quoted("There is a line end in the key")


def test_a_key_that_was_not_loaded_by_the_host(guarded: Api, start_host: StartHost) -> None:
    host = start_host(guarded.address, SERVER_NAME="web1")
    report = doctor(API_ADDRESS=guarded.address, SERVER_NAME="web1")

    assert as_examples([*refused(host), report.of("Key")], {guarded.address: API}) == quoted(
        "The host has not loaded the key"
    )


def test_a_key_that_was_not_loaded_by_the_api(start_api: StartApi) -> None:
    api = start_api("memory://")
    as_meant = doctor(
        "api", DATABASE_URL="memory://", LISTEN_ADDRESS=api.address, REGISTRATION_KEY=KEY
    )
    by_a_host = doctor(API_ADDRESS=api.address, SERVER_NAME="web1", REGISTRATION_KEY=KEY)
    line = api.wait_until_logged("REGISTRATION_KEY is not set")

    assert [line, as_meant.of("Key"), by_a_host.of("Key")] == quoted(
        "The API has not loaded the key"
    )


# New ids


def test_a_host_gets_another_id_at_each_start(api: Api, start_host: StartHost) -> None:
    lines = []
    for number in (1, 2):
        # The API recognises the machine by no evidence.
        host = start_host(api.address, HOST_ROOT="/nowhere")
        host.wait_until_logged(f"Registered as server {number} ")
        lines += [event["event"] for event in host.events if "for this run only" in event["event"]]
        host.terminate()
    report = doctor(API_ADDRESS=api.address, DOCKER_OPTIONAL="true")

    assert as_examples(lines, {})[0] == as_examples(lines, {})[1]
    assert as_examples([lines[0], report.of("Name")], {}) == quoted(
        "A host gets another server_id at each start"
    )


# Name conflicts


def test_another_machine_has_the_name(
    api: Api, start_host: StartHost, machine: FakeMachine, folder: Path
) -> None:
    other = FakeMachine.fresh(folder / "other")
    start_host(api.address, SERVER_NAME="web1", **machine.settings).wait_until_logged("Registered")
    refused_host = start_host(api.address, SERVER_NAME="web1", **other.settings)
    line = refused_host.wait_until_logged("is held by")

    assert refused_host.running
    assert as_examples([line], {"127.0.0.1": "10.0.0.7"}) == quoted("Another machine has the name")


def test_another_host_manager_replaced_it(api: Api, start_host: StartHost) -> None:
    earlier = start_host(api.address, SERVER_NAME="web1")
    earlier.wait_until_logged("Registered")
    start_host(api.address, SERVER_NAME="web1").wait_until_logged("Registered")

    assert earlier.wait() == 75
    assert as_examples([earlier.events[-1]["event"]], {"127.0.0.1": "10.0.0.7"}) == quoted(
        "Another host manager replaced it"
    )


def test_an_operator_rejected_or_banned_it(api: Api, start_host: StartHost) -> None:
    start_host(api.address, SERVER_NAME="web1").wait_until_logged("Registered")
    with client(api.address) as stub:
        stub.BanServer(pb.BanServerRequest(server_id=1, reason="stolen"))
    banned = start_host(api.address, SERVER_NAME="web2")

    assert banned.wait() == 77
    assert [banned.events[-1]["event"]] == quoted("An operator rejected or banned it")


def test_its_join_key_does_not_admit_it(api: Api, start_host: StartHost) -> None:
    with client(api.address) as stub:
        made = stub.CreateJoinKey(pb.CreateJoinKeyRequest())
        stub.RevokeJoinKey(pb.RevokeJoinKeyRequest(key_id=made.join_key.key_id))
    host = start_host(api.address, SERVER_NAME="web1", REGISTRATION_KEY=made.key)

    assert host.wait() == 77
    assert as_examples(
        [host.events[-1]["event"]], {made.join_key.key_id: "jk-examplekey"}
    ) == quoted("Its join key does not admit it")


def test_it_waits_for_approval(start_api: StartApi, start_host: StartHost) -> None:
    api = start_api("memory://", REGISTRATION_APPROVAL="manual")
    host = start_host(api.address, SERVER_NAME="web1")

    assert [host.wait_until_logged("waits for an operator")] == quoted("It waits for approval")


def test_its_state_is_in_use(api: Api, start_host: StartHost, folder: Path) -> None:
    state = str(folder / "state")
    start_host(api.address, SERVER_NAME="web1", STATE_DIR=state).wait_until_logged("Registered")
    second = start_host(api.address, SERVER_NAME="web2", STATE_DIR=state)

    assert second.wait() == 78
    assert as_examples([second.events[-1]["event"]], {state: "/var/lib/manmanv2"}) == quoted(
        "STATE_DIR is in use"
    )


def test_its_state_is_of_another_machine(
    api: Api, start_host: StartHost, machine: FakeMachine, folder: Path
) -> None:
    first = start_host(api.address, **machine.settings_with_state)
    first.wait_until_logged("Registered")
    first.terminate()
    copy = machine.clone(folder / "clone")
    second = start_host(api.address, **copy.settings_with_state)
    line = second.wait_until_logged("was moved to")

    assert as_examples([line], {str(copy.state_dir): "/var/lib/manmanv2"}) == quoted(
        "STATE_DIR was copied from another machine"
    )


# The API cannot be reached


def test_the_api_does_not_run(start_host: StartHost) -> None:
    address = free_address()

    assert as_examples(unreachable(start_host, address), {address: API}) == quoted(
        "The API does not run, or has another port"
    )


def test_the_name_does_not_resolve(start_host: StartHost) -> None:
    address = "no.such.host.invalid:50051"

    assert as_examples(unreachable(start_host, address), {address: API}) == quoted(
        "The name does not resolve"
    )


def test_another_program_listens(start_host: StartHost) -> None:
    with port_that_says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as address:
        lines = unreachable(start_host, address)

    assert as_examples(lines, {address: API}) == quoted("Another program listens there")


def test_the_port_requires_tls(start_host: StartHost) -> None:
    with tls_port() as address:
        lines = unreachable(start_host, address)

    assert as_examples(lines, {address: API}) == quoted("The port requires TLS")


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    files = CertificateFiles(tmp_path)
    files.issue()
    return files


def tls_failure_line(address: str, ca_file: Path | None) -> str:
    """The log line of a host whose TLS connection to the API fails."""
    keys = KeyRing.single(KEY)
    with (
        closing(GrpcControlPlane(address, keys, tls=Tls(ca_file))) as control_plane,
        pytest.raises(ControlPlaneUnavailable) as caught,
    ):
        control_plane.heartbeat(1, None)
    return f"{caught.value} Trying again until it answers."


def test_the_port_does_not_use_tls(files: CertificateFiles) -> None:
    with without_tls() as address:
        line = tls_failure_line(address, files.ca_file)
        with pytest.raises(ControlPlaneUnavailable) as caught:
            GrpcApiProbe(address, Tls(files.ca_file)).try_key(KEY)
    by_the_doctor = CheckResult.of(caught.value.diagnosis, Cause.ENVIRONMENT)

    assert as_examples([line, f"FAIL  API        {by_the_doctor}"], {address: API}) == quoted(
        "The port does not use TLS"
    )


def test_the_ca_is_not_trusted(files: CertificateFiles, tmp_path: Path) -> None:
    with tls_server(files) as address:
        lines = [tls_failure_line(address, None)]
        type(files.ca)().cert_pem.write_to_path(str(tmp_path / "other.pem"))
        lines.append(tls_failure_line(address, tmp_path / "other.pem"))
    files.certificate.write_bytes(files.ca.cert_pem.bytes())
    files.key.write_bytes(files.ca.private_key_pem.bytes())
    with tls_server(files) as another_address:
        lines.append(tls_failure_line(another_address, None))

    assert as_examples(lines, {address: API, another_address: API}) == quoted(
        "The certificate's CA is not trusted"
    )


def certifying(files: CertificateFiles, start_api: StartApi, **settings: str) -> Api:
    """An API that issues certificates."""
    ca_key = files.ca_file.with_name("ca.key")
    ca_key.write_bytes(files.ca.private_key_pem.bytes())
    return start_api(
        "memory://",
        CA_CERT_PATH=str(files.ca_file),
        CA_KEY_PATH=str(ca_key),
        MTLS_LISTEN_ADDRESS=free_address(),
        **files.variables,
        **settings,
    )


def test_the_join_key_pins_another_ca(
    files: CertificateFiles, start_api: StartApi, start_host: StartHost
) -> None:
    api = certifying(files, start_api)
    settings = {
        "REGISTRATION_KEY": f"jk-{'a' * 10}.{canary('secret')}.{'0' * 64}",
        "SERVER_NAME": "web1",
    }
    host = start_host(f"https://{api.address}", **settings)
    line = host.wait_until_logged("Trying again until it answers.")
    report = doctor(API_ADDRESS=f"https://{api.address}", DOCKER_OPTIONAL="true", **settings)
    with tls_server(files) as without_an_authority:
        trust = ApiTrust(without_an_authority, Tls())
        with pytest.raises(AuthorityMismatch) as caught:
            trust.tls_for(settings["REGISTRATION_KEY"])

    assert report.exit_code == 69
    assert as_examples(
        [line, report.of("API"), f"{caught.value} Trying again until it answers."],
        {api.address: API, without_an_authority: API},
    ) == quoted("The join key pins another CA")


def test_the_api_s_certificate_is_not_from_the_ca_that_the_host_knows(
    files: CertificateFiles, tmp_path: Path
) -> None:
    other_ca = type(files.ca)().cert_pem.bytes().decode()
    DiskAuthorityFolder(tmp_path).write(KnownAuthority("0" * 64, other_ca))
    with tls_server(files) as address:
        trust = ApiTrust(address, Tls(), ReadOnlyAuthorityFolder(tmp_path))
        with pytest.raises(ControlPlaneUnavailable) as caught:
            GrpcApiProbe(address, Tls(), trust).try_key(KEY)
    by_the_doctor = CheckResult.of(caught.value.diagnosis, Cause.ENVIRONMENT)
    line = f"{caught.value} Trying again until it answers."

    assert as_examples([line, f"FAIL  API        {by_the_doctor}"], {address: API}) == quoted(
        "The API's certificate is not from the CA that the host knows"
    )


def test_the_mutual_tls_port_cannot_be_reached(
    files: CertificateFiles, start_api: StartApi, start_host: StartHost
) -> None:
    nowhere, lines, instead = free_address(), [], {}
    for enforcement, words in (
        ("certificate=off", "so it calls without one"),
        ("certificate=enforce", "Trying again until it answers."),
    ):
        api = certifying(files, start_api, ENFORCEMENT=enforcement)
        host = start_host(
            f"https://{api.address}",
            SERVER_NAME="web1",
            API_CA_CERT_PATH=str(files.ca_file),
            API_MTLS_ADDRESS=nowhere,
        )
        lines.append(host.wait_until_logged(words))
        instead[api.address] = API

        assert host.running
    instead[nowhere] = "api.example.com:50052"

    assert as_examples(lines, instead) == quoted("The mutual-TLS port cannot be reached")


def test_the_certificate_is_for_another_name(files: CertificateFiles) -> None:
    files.issue("api.example.org")
    with tls_server(files) as address:
        lines = [tls_failure_line(address, files.ca_file)]

    assert as_examples(lines, {address: API, "127.0.0.1": "api.example.com"}) == quoted(
        "The certificate is for another name"
    )


def test_the_certificate_is_not_valid_now(files: CertificateFiles) -> None:
    lines, instead = [], {}
    for begins, ends in ((-2, -1), (1, 2)):
        files.issue(begins=timedelta(days=begins), ends=timedelta(days=ends))
        with tls_server(files) as address:
            lines.append(tls_failure_line(address, files.ca_file))
            instead[address] = API

    assert as_examples(lines, instead) == quoted("The certificate is not valid now")


def test_the_port_requires_a_client_certificate(
    start_api: StartApi, folder: Path, tmp_path: Path
) -> None:
    site, for_certificates = Site(folder), free_address()
    api = start_api(
        "memory://", MTLS_LISTEN_ADDRESS=for_certificates, OPERATOR_KEY=KEY, **site.variables
    )
    api.wait_until_logged("Serving mutual-TLS clients")
    own, file = ["spiffe://manmanv2/operator/oc-aaaaaaaaaa"], tmp_path / "ann.pem"
    lines = [tls_failure_line(for_certificates, site.ca_file)]
    for address, presented in (
        (for_certificates, site.gives(own, expired=True)),
        (for_certificates, Site(folder / "other", "Their CA").gives(own)),
        (api.address, site.gives(own)),
    ):
        presented.write(file)
        ended = run_to_end(
            *("manmanv2", "servers", "list"),
            API_ADDRESS=f"https://{address}",
            API_CA_CERT_PATH=str(site.ca_file),
            API_CLIENT_CERT_PATH=str(file),
        )
        lines += ended.stderr.splitlines()

    instead = {
        for_certificates: "api.example.com:50052",
        api.address: API,
        str(file): "ann.pem",
    }
    assert as_examples(lines, instead) == quoted("The port requires a client certificate")


def test_a_firewall_drops_the_packets(start_host: StartHost) -> None:
    with port_behind_a_firewall() as address:
        lines = unreachable(start_host, address)

    assert as_examples(lines, {address: API}) == quoted("A firewall drops the packets")


def test_the_port_accepts_connections_but_does_not_answer(start_host: StartHost) -> None:
    with silent_port() as address:
        lines = unreachable(start_host, address)

    assert as_examples(lines, {address: API}) == quoted(
        "The port accepts connections but does not answer"
    )


def test_the_api_is_stopping(postgres_url: str, start_api: StartApi, start_host: StartHost) -> None:
    api = start_api(postgres_url)
    database = create_engine(sql_url(postgres_url))
    waiting = text(
        "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND query LIKE '%/* request_id=under-way */'"
    )

    with (
        client(api.address) as stub,
        # Within one transaction, pg_stat_activity shows the same snapshot.
        database.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher,
        database.begin() as holder,
    ):
        holder.execute(text("LOCK TABLE servers"))
        # The stop lasts as long as a call is in flight.
        call = stub.RegisterServer.future(
            pb.RegisterServerRequest(name="x"), metadata=(("x-request-id", "under-way"),)
        )
        eventually(lambda: watcher.scalar(waiting), "the call to be under way", api)
        psutil.Process(api.pid).terminate()
        api.wait_until_logged("Draining")
        lines = unreachable(start_host, api.address)
        holder.rollback()
        call.exception()
    database.dispose()

    assert as_examples(lines, {api.address: API}) == quoted("The API is stopping")


def test_the_api_cannot_reach_its_database(
    own_postgres: PostgresCluster, start_api: StartApi, start_host: StartHost
) -> None:
    url = own_postgres.create_database()
    upgrade(url)
    api = start_api(url, REGISTRATION_KEY=KEY)
    own_postgres.stop()
    settings = {"SERVER_NAME": "web1", "REGISTRATION_KEY": KEY}
    host = start_host(api.address, **settings)
    report = doctor("host", **settings, API_ADDRESS=api.address, DOCKER_OPTIONAL="true")
    line = host.wait_until_logged("Trying again until it answers.")
    own_postgres.start()
    host.wait_until_logged("Registered as server")

    assert report.exit_code == 69
    assert as_examples([line, report.of("Database")], {api.address: API}) == quoted(
        "The API cannot reach its database"
    )


def test_too_many_calls_are_refused(start_host: StartHost) -> None:
    with busy_api() as address:
        host = start_host(address, SERVER_NAME="web1", REGISTRATION_KEY=OTHER_KEY)
        line = host.wait_until_logged("Trying again until it answers.")
        report = doctor(API_ADDRESS=address, SERVER_NAME="web1", REGISTRATION_KEY=OTHER_KEY)
        ended = run_to_end("manmanv2", "servers", "list", API_ADDRESS=address, OPERATOR_KEY="x")

    assert (report.exit_code, ended.returncode) == (69, 75)
    assert as_examples([line, report.of("API"), ended.stderr.strip()], {address: API}) == quoted(
        "Too many calls are refused"
    )


@contextmanager
def busy_api() -> Iterator[str]:
    """The address of an API whose clock stands still, on which a client guesses keys."""
    settings = ApiSettings(
        database_url=Secret(IN_MEMORY),
        listen_address="127.0.0.1:0",
        registration_key=Secret(KEY),
        operator_key=Secret(canary("operator key")),
    )
    container = ApiContainer(settings=settings)
    unauthenticated = container.limit_calls().unauthenticated
    unauthenticated.monotonic = lambda: 0.0
    with suppress(TooManyCalls):
        while True:
            unauthenticated.take("127.0.0.1")
    with serving(container) as port:
        yield f"127.0.0.1:{port}"
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


# Docker


def test_there_is_no_socket(docker_socket: Path) -> None:
    lines = without_docker(docker_socket)

    assert as_examples(lines, {str(docker_socket): SOCKET}) == quoted("There is no socket")


def test_docker_desktop_has_another_socket(docker_socket: Path) -> None:
    with engine(Path(f"{docker_socket}.raw")):
        lines = without_docker(docker_socket)

    assert as_examples(lines, {str(docker_socket): SOCKET}) == quoted(
        "Docker Desktop has its socket elsewhere"
    )


def test_this_user_cannot_use_the_socket(docker_socket: Path) -> None:
    with engine(docker_socket):
        docker_socket.chmod(0)
        lines = without_docker(
            docker_socket, without_privileges("manmanv2-host"), doctor_without_privileges
        )

    assert as_examples(lines, {str(docker_socket): SOCKET}) == quoted(
        "This user cannot use the socket"
    )


def test_a_directory_is_in_the_place_of_the_socket(docker_socket: Path) -> None:
    docker_socket.mkdir()
    lines = without_docker(docker_socket)

    assert as_examples(lines, {str(docker_socket): SOCKET}) == quoted(
        "A directory is in the place of the socket"
    )


def test_docker_has_stopped(docker_socket: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(docker_socket))
        gone.listen()
    lines = without_docker(docker_socket)

    assert as_examples(lines, {str(docker_socket): SOCKET}) == quoted("Docker has stopped")


def test_docker_hangs(docker_socket: Path) -> None:
    with silent_socket(docker_socket):
        lines = without_docker(docker_socket)

    assert as_examples(lines, {str(docker_socket): SOCKET}) == quoted("Docker hangs")


# The API does not start


def test_the_database_is_empty(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    lines = starting_api("Database", DATABASE_URL=url)
    postgres_server.drop_database(url)

    assert lines == quoted("The database is empty")


def test_the_database_has_an_older_schema(postgres_url: str) -> None:
    import psycopg2

    with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    lines = starting_api("Database", DATABASE_URL=postgres_url)

    assert as_examples(lines, {f"works with {newest_revision()}": "works with 0002"}) == quoted(
        "The database has an older schema"
    )


def test_the_database_cannot_be_reached(own_postgres: PostgresCluster) -> None:
    url = own_postgres.create_database()
    own_postgres.stop()

    assert starting_api("Database", DATABASE_URL=url) == quoted("The database cannot be reached")


def test_the_port_is_taken() -> None:
    with silent_port() as address:
        lines = starting_api("Port", DATABASE_URL="memory://", LISTEN_ADDRESS=address)

    assert as_examples(lines, {address: "0.0.0.0:50051"}) == quoted("The port is taken")


# The broker


def test_the_broker_is_away(
    rabbitmq: RabbitBroker, start_api: StartApi, start_host: StartHost
) -> None:
    url = rabbitmq.url()
    rabbitmq.stop()
    api = start_api("memory://", RABBITMQ_URL=url)
    host = start_host(None, TRANSPORT="amqp", RABBITMQ_URL=url, SERVER_NAME="web1")
    lines = [
        api.wait_until_logged("Messages to manman.calls wait until it is back."),
        host.wait_until_logged("Trying again until it answers."),
    ]
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="over gRPC"))
    for settings in ({"TRANSPORT": "amqp"}, {"DATABASE_URL": "memory://"}):
        report = doctor(**settings, RABBITMQ_URL=url)

        assert as_examples([*lines, report.of("Broker")], {broker_address(url): BROKER}) == quoted(
            "The broker is not running"
        )
        assert report.exit_code == 69


def test_the_broker_refuses_the_password(rabbitmq_url: str, start_host: StartHost) -> None:
    url = re.sub(r":[^:]*@", f":{canary('other password')}@", rabbitmq_url)
    host = start_host(None, TRANSPORT="amqp", RABBITMQ_URL=url, SERVER_NAME="web1")
    line = host.wait_until_logged("Trying again until it answers.")
    report = doctor(TRANSPORT="amqp", RABBITMQ_URL=url)

    assert as_examples([line, report.of("Broker")], {broker_address(url): BROKER}) == quoted(
        "The broker refuses the password"
    )


def test_the_virtual_host_is_another_one(
    rabbitmq: RabbitBroker, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq.url("prod"))
    api.wait_until_logged("Listening for messages from manman.calls.")
    url = rabbitmq.url("dev")
    host = start_host(None, TRANSPORT="amqp", RABBITMQ_URL=url, SERVER_NAME="web1")
    # Before a host has used the broker.
    report = doctor(TRANSPORT="amqp", RABBITMQ_URL=rabbitmq.url("/"))
    line = host.wait_until_logged("Trying again until it answers.")

    assert as_examples([line, report.of("Broker"), report.of("API")], {}) == quoted(
        "No API is in this virtual host"
    )


# An unhealthy fleet


def test_a_server_is_shown_offline_though_its_host_runs(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
    first = start_api(url)
    host = start_host(first.address, SERVER_NAME="web1")
    host.wait_until_logged("Registered")
    first.terminate()
    # The API moved, and the host still has the old address.
    second = start_api(url)
    eventually(lambda: servers(second.address)["web1"].status == "offline", "silence", second, host)
    report = doctor(API_ADDRESS=first.address, SERVER_NAME="web1", DOCKER_OPTIONAL="true")

    assert host.running
    assert as_examples(
        [host.wait_until_logged("Trying again until it answers."), report.of("API")],
        {first.address: API},
    ) == quoted("A server is shown offline though its host manager runs")


def test_clocks_differ() -> None:
    with api_with_clock(-90) as address:
        report = doctor(API_ADDRESS=address, SERVER_NAME="web1", DOCKER_OPTIONAL="true")

    assert as_examples([report.of("Clock")], {}) == quoted("The clocks differ")
    assert report.exit_code == 0


def test_the_configuration_cannot_be_kept(api: Api, folder: Path) -> None:
    writable, closed = folder / "kept", folder / "closed"
    closed.mkdir(mode=0o555)
    settings = {
        "API_ADDRESS": api.address,
        "SERVER_NAME": "web1",
        "DOCKER_OPTIONAL": "true",
        "DOCKER_SOCKET": str(folder / "none"),
        "CONFIG_DIR": str(closed / "config"),
    }
    with ExitStack() as stack:
        host = Process(*without_privileges("manmanv2-host"), **settings)
        stack.callback(host.kill)
        line = host.wait_until_logged("cannot be stored")
    report = doctor_without_privileges("host", **settings)
    fixed = doctor("host", **{**settings, "CONFIG_DIR": str(writable)})

    assert as_examples(
        [line, report.of("Folder")], {str(closed / "config"): "/etc/manmanv2/config"}
    ) == quoted("The configuration cannot be stored")
    assert fixed.outcomes["Folder"] == "ok"


# Legacy mode


def test_a_given_id_and_a_registration_together() -> None:
    settings = {"SERVER_ID": "42", "RABBITMQ_URL": "amqp://h", "API_ADDRESS": "localhost:50051"}
    ended = run_to_end("manmanv2-host", **settings)
    report = doctor(**settings)

    assert (ended.returncode, report.exit_code) == (78, 78)
    assert [ended.stderr.strip(), *report.lines] == quoted(
        "SERVER_ID is set together with a registration"
    )


def test_an_id_that_nobody_has(
    rabbitmq_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url)
    api.wait_until_logged("Listening for messages from manman.reports.")
    host = start_host(None, SERVER_ID="42", RABBITMQ_URL=rabbitmq_url)

    assert host.wait() == 78
    assert [host.wait_until_logged("SERVER_ID")] == quoted("No server has the SERVER_ID")
