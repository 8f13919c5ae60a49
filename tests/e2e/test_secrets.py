"""With every secret set and LOG_LEVEL=debug, whatever goes well or wrong.

Most assertions are made by `tests/support/canary_secrets.py`, which fails every test that leaks a
secret.
"""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import grpc
import psycopg2
import pytest

from adapters.sql.migrations import upgrade
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import DOCUMENT, canary
from tests.support.certificates import CertificateFiles
from tests.support.processes import Api, Process, client, eventually, free_address, run_to_end
from tests.support.services.postgres import SUPERUSER, USER_WITHOUT_PASSWORD, PostgresCluster
from tests.support.services.rabbitmq import PASSWORD, RabbitBroker

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

KEYS = {
    "REGISTRATION_KEY": canary("registration key"),
    "OPERATOR_KEY": canary("operator key"),
}
WORDY = {
    "LOG_LEVEL": "debug",
    "GRPC_VERBOSITY": "debug",
    # Nothing listens there.
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://us:{canary('collector password')}@127.0.0.1:1",
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{canary('collector token')}",
}
WORDY_API = {**KEYS, **WORDY}
WORDY_HOST = {"REGISTRATION_KEY": KEYS["REGISTRATION_KEY"], "SERVER_NAME": "box", **WORDY}
CONFIGURATION = json.dumps({"password": canary(f"{DOCUMENT} of a game")})


def operator(api: Api, *arguments: str, stdin: str = "") -> CompletedProcess[str]:
    key = KEYS["OPERATOR_KEY"]
    return run_to_end(
        "manmanv2", *arguments, stdin=stdin, API_ADDRESS=api.address, OPERATOR_KEY=key
    )


def put_configuration(api: Api) -> CompletedProcess[str]:
    return operator(api, "configs", "put", "1", "game", stdin=CONFIGURATION)


def debug_lines(process: Process) -> int:
    return [event["level"] for event in process.events].count("debug")


@pytest.mark.parametrize(("transport", "store"), [("grpc", "sqlite"), ("amqp", "postgresql")])
def test_a_life_without_errors(
    request: pytest.FixtureRequest,
    rabbitmq_url: str,
    start_api: StartApi,
    start_host: StartHost,
    tmp_path: Path,
    transport: str,
    store: str,
) -> None:
    url = f"sqlite:///{tmp_path / 'manman.sqlite3'}"
    if store == "postgresql":
        url = request.getfixturevalue("postgres_url")
    folder = tmp_path / "config"
    api = start_api(url, RABBITMQ_URL=rabbitmq_url, **WORDY_API)
    host = start_host(
        api.address if transport == "grpc" else None,
        TRANSPORT=transport,
        RABBITMQ_URL=rabbitmq_url,
        CONFIG_DIR=str(folder),
        **WORDY_HOST,
    )
    host.wait_until_logged("Registered as server 1 ")
    put_configuration(api)
    eventually((folder / "game.json").exists, "the document", api, host)
    arrived = (folder / "game.json").read_text()
    done = [
        operator(api, "servers", "refresh", "1"),
        operator(api, "servers", "show", "1", "-o", "json"),
        operator(api, "configs", "list", "1"),
        operator(api, "servers", "delete", "1", "--yes", "--force"),
    ]
    host.wait_until_logged("Registered as server 2 ")

    assert arrived == CONFIGURATION
    assert {ended.returncode for ended in done} == {0}
    assert (host.terminate(), api.terminate()) == (0, 0)
    assert min(map(debug_lines, (api, host))) > 0


@pytest.mark.parametrize("transport", ["grpc", "amqp"])
def test_a_wrong_key(
    rabbitmq_url: str, start_api: StartApi, start_host: StartHost, transport: str
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url, **WORDY_API)
    other = canary("other key")
    host = start_host(
        api.address if transport == "grpc" else None,
        TRANSPORT=transport,
        RABBITMQ_URL=rabbitmq_url,
        **{**WORDY_HOST, "REGISTRATION_KEY": other},
    )
    listing = run_to_end("manmanv2", "servers", "list", API_ADDRESS=api.address, OPERATOR_KEY=other)
    wrong = (("authorization", f"Bearer {other}"),)
    with client(api.address) as stub:
        with pytest.raises(grpc.RpcError):
            stub.ListServers(pb.ListServersRequest(), metadata=wrong)
        with pytest.raises(grpc.RpcError):
            stub.RegisterServer(pb.RegisterServerRequest(name="x", registration_key=other))

    assert host.wait() == 77
    assert listing.returncode == 77


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_database_that_is_down_for_a_while(
    own_postgres: PostgresCluster, start_api: StartApi, start_host: StartHost, workers: str
) -> None:
    url = own_postgres.create_database()
    upgrade(url)
    api = start_api(url, address=free_address(), API_WORKERS=workers, **WORDY_API)
    host = start_host(api.address, **WORDY_HOST)
    host.wait_until_logged("Registered as server 1 ")
    own_postgres.stop()
    host.wait_until_logged("Trying again")
    refused = put_configuration(api)
    not_started = run_to_end("manmanv2-api", DATABASE_URL=url, **WORDY_API)
    not_upgraded = run_to_end("manmanv2", "db", "upgrade", DATABASE_URL=url)
    api.wait_until_logged("No server is declared offline for now")
    own_postgres.start()
    api.wait_until_logged("The store is back")

    assert {refused.returncode, not_started.returncode, not_upgraded.returncode} == {69}
    assert eventually(lambda: put_configuration(api).returncode == 0, "an answer", api)


def test_a_database_that_fails_at_a_document(
    postgres_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api(postgres_url, **WORDY_API)
    start_host(api.address, **WORDY_HOST).wait_until_logged("Registered as server 1 ")
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE configurations ADD CHECK (name <> 'game')")
        connection.commit()
    failed = put_configuration(api)

    assert failed.returncode == 70
    assert api.wait_until_logged("the store failed")


def test_a_database_that_refuses_the_password(own_postgres: PostgresCluster) -> None:
    url = own_postgres.create_database().replace(f"//{SUPERUSER}:", f"//{USER_WITHOUT_PASSWORD}:")
    ended = run_to_end("manmanv2-api", DATABASE_URL=url, **WORDY_API)

    assert ended.returncode == 69
    assert "the server refuses this user or password" in ended.stderr


@pytest.mark.parametrize("refuses", [True, False], ids=["refuses the password", "is away"])
def test_a_broker_that_cannot_be_used(
    rabbitmq: RabbitBroker, start_api: StartApi, start_host: StartHost, refuses: bool
) -> None:
    url = rabbitmq.url()
    if refuses:
        url = url.replace(PASSWORD, canary("other broker password"))
    else:
        rabbitmq.stop()
    words = "refuses this user or password" if refuses else "nothing listens on that port"
    api = start_api("memory://", RABBITMQ_URL=url, **WORDY_API)
    over_grpc = start_host(api.address, RABBITMQ_URL=url, **WORDY_HOST)
    over_amqp = start_host(None, TRANSPORT="amqp", RABBITMQ_URL=url, **WORDY_HOST)
    over_grpc.wait_until_logged("Registered as server 1 ")
    for process in (api, over_grpc, over_amqp):
        process.wait_until_logged(words)
    refresh = operator(api, "servers", "refresh", "1")

    assert refresh.returncode == 69
    assert words in refresh.stderr
    assert [process.terminate() for process in (over_amqp, over_grpc, api)] == [0, 0, 0]


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """Certificate files. Each line of the private key counts as a secret."""
    files = CertificateFiles(tmp_path)
    files.issue()
    return files


def cut_off(files: CertificateFiles) -> None:
    content = files.key.read_bytes()
    files.key.write_bytes(content[: 3 * len(content) // 4])


def damage(files: CertificateFiles) -> None:
    """Damage the first letter of the key, which encodes its type."""
    files.key.write_bytes(files.key.read_bytes().replace(b"\nM", b"\nA", 1))


def take_the_frame_off(files: CertificateFiles) -> None:
    lines = files.key.read_bytes().splitlines(keepends=True)
    files.key.write_bytes(b"".join(line for line in lines if not line.startswith(b"---")))


def put_another_there(files: CertificateFiles) -> None:
    certificate = files.certificate.read_bytes()
    files.issue()
    files.certificate.write_bytes(certificate)


def swap(files: CertificateFiles) -> None:
    files.key, files.certificate = files.certificate, files.key


UNUSABLE = [cut_off, damage, take_the_frame_off, put_another_there, swap]


@pytest.mark.parametrize("make_unusable", UNUSABLE)
def test_a_private_key_that_cannot_be_used(
    files: CertificateFiles, make_unusable: Callable[[CertificateFiles], None]
) -> None:
    make_unusable(files)
    settings = {**WORDY_API, **files.variables, "DATABASE_URL": "memory://"}
    commands = [("manmanv2-api",), ("manmanv2", "doctor", "api"), ("manmanv2-api", "health")]
    ended = [run_to_end(*command, **settings) for command in commands]

    assert [one.returncode for one in ended] == [78, 78, 69]
    assert "TLS_" in ended[0].stderr
    assert "TLS_" in ended[1].stdout
    assert run_to_end("manmanv2-api", "config", **settings).returncode == 0


@pytest.mark.parametrize("setting", ["TLS_KEY_PATH", "TLS_CERT_PATH"])
def test_a_private_key_in_place_of_its_path(files: CertificateFiles, setting: str) -> None:
    _, _, key = files.key.read_text().partition("\n")
    settings = {**WORDY_API, **files.variables, setting: key}
    ended = [
        run_to_end(*command, **settings)
        for command in (
            ("manmanv2-api",),
            ("manmanv2-api", "config"),
            ("manmanv2", "doctor", "api"),
        )
    ]

    for one in ended:
        assert one.returncode == 78
        assert f"{setting}: must be the path of a file, not its" in one.stdout + one.stderr


def test_a_private_key_in_use(
    files: CertificateFiles, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://", **files.variables, **WORDY_API)
    trust = {"API_CA_CERT_PATH": str(files.ca_file)}
    host = start_host(f"https://{api.address}", **trust, **WORDY_HOST)
    host.wait_until_logged("Registered as server 1 ")
    in_the_open = run_to_end("manmanv2", "servers", "list", API_ADDRESS=api.address)
    cut_off(files)
    api.wait_until_logged("is damaged")
    files.issue()
    api.wait_until_logged("can be used again")

    assert in_the_open.returncode == 69
    assert (host.terminate(), api.terminate()) == (0, 0)
    assert debug_lines(api) > 0


LOGIN = canary("database password")
EVERYTHING = {
    **KEYS,
    "DATABASE_URL": f"postgresql://manman:{LOGIN}@db/manman?password={LOGIN}",
    "RABBITMQ_URL": f"amqp://guest:{PASSWORD}@broker/dev",
}


@pytest.mark.parametrize("argument", ["config", "--help", "--version", "nonsense"])
@pytest.mark.parametrize("command", ["manmanv2-api", "manmanv2-host", "manmanv2"])
def test_what_a_command_prints_about_itself(command: str, argument: str) -> None:
    ended = run_to_end(command, argument, **EVERYTHING)

    assert ended.returncode in (0, 2)
    assert ended.stdout or ended.stderr
