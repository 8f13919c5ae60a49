"""`manmanv2 doctor` as a command. test_troubleshooting covers its results."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.canary_secrets import almost, canary
from tests.support.doctor import doctor
from tests.support.fake_servers import engine
from tests.support.processes import Api, Process, free_address, run_to_end, servers

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

KEY = canary("key")


@pytest.fixture(scope="module")
def guarded(start_shared_api: StartApi) -> Api:
    return start_shared_api("memory://", REGISTRATION_KEY=KEY)


@pytest.fixture
def docker_socket() -> Iterator[Path]:
    """The socket of an engine. Its path must be short, because socket paths are limited."""
    with tempfile.TemporaryDirectory(prefix="manman") as folder:
        path = Path(folder) / "docker.sock"
        with engine(path):
            yield path


def test_a_host_that_could_join_passes_and_has_not_joined(
    guarded: Api, docker_socket: Path, tmp_path: Path
) -> None:
    report = doctor(
        "host",
        API_ADDRESS=guarded.address,
        REGISTRATION_KEY=KEY,
        ENVIRONMENT="production",
        DOCKER_SOCKET=str(docker_socket),
        CONFIG_DIR=str(tmp_path / "config"),
        STATE_DIR=str(tmp_path / "state"),
        METRICS_ADDRESS=free_address(),
    )

    assert report.outcomes == dict.fromkeys(
        [
            *("Settings", "Docker", "Name", "API", "Key", "Database", "Clock"),
            *("Folder", "State", "Metrics"),
        ],
        "ok",
    )
    assert report.exit_code == 0
    assert servers(guarded.address) == {}
    assert list(tmp_path.iterdir()) == []


def test_an_api_that_could_start_passes_and_nothing_is_created(tmp_path: Path) -> None:
    report = doctor(
        "api",
        DATABASE_URL=f"sqlite:///{tmp_path}/fleet.sqlite3",
        LISTEN_ADDRESS=free_address(),
        REGISTRATION_KEY=KEY,
    )

    assert set(report.outcomes.values()) == {"ok", "skip"}
    assert report.exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_running_api_passes_and_is_not_changed(
    start_api: StartApi, tmp_path: Path, rabbitmq_url: str
) -> None:
    url = f"sqlite:///{tmp_path}/fleet.sqlite3"
    settings = {
        "RABBITMQ_URL": rabbitmq_url,
        "REGISTRATION_KEY": KEY,
        "METRICS_ADDRESS": free_address(),
    }
    api = start_api(url, **settings)
    report = doctor(**settings, DATABASE_URL=url, LISTEN_ADDRESS=api.address)

    assert report.of("Port").split(maxsplit=2)[2] == f"manmanv2-api answers at {api.address}"
    assert report.of("Metrics").split(maxsplit=2)[2].startswith("manmanv2-api answers at ")
    assert set(report.outcomes.values()) == {"ok", "skip"}
    assert report.exit_code == 0
    assert servers(api.address) == {}


@pytest.mark.parametrize("wrong", almost(KEY))
def test_a_key_that_the_api_refuses_fails_and_is_not_printed(
    wrong: str, guarded: Api, docker_socket: Path
) -> None:
    report = doctor(
        API_ADDRESS=guarded.address,
        REGISTRATION_KEY=wrong,
        SERVER_NAME="web1",
        DOCKER_SOCKET=str(docker_socket),
    )

    assert report.of("Key").startswith("FAIL")
    assert report.exit_code == 78
    assert servers(guarded.address) == {}


def test_a_host_that_uses_amqp_is_checked_with_the_api_behind_the_broker(
    start_api: StartApi, rabbitmq_url: str, docker_socket: Path
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url, REGISTRATION_KEY=KEY)
    api.wait_until_logged("Listening for messages from manman.calls.")
    host = {
        "TRANSPORT": "amqp",
        "RABBITMQ_URL": rabbitmq_url,
        "SERVER_NAME": "web1",
        "DOCKER_SOCKET": str(docker_socket),
    }
    right = doctor(**host, REGISTRATION_KEY=KEY)
    wrong = doctor(**host, REGISTRATION_KEY=canary("other key"))

    assert right.outcomes["Key"] == right.outcomes["Database"] == "ok"
    assert wrong.outcomes["Key"] == "FAIL"
    assert servers(api.address) == {}


def test_a_host_with_a_server_id_needs_only_the_broker(
    rabbitmq_url: str, docker_socket: Path
) -> None:
    report = doctor(SERVER_ID="7", RABBITMQ_URL=rabbitmq_url, DOCKER_SOCKET=str(docker_socket))

    assert report.outcomes == {
        "Settings": "ok",
        "Docker": "ok",
        "Name": "ok",
        # No API has used this database.
        "Broker": "warn",
        "API": "skip",
    }
    assert report.exit_code == 0


@pytest.mark.parametrize(
    ("variables", "head"),
    [
        ({}, "The host manager, because none of DATABASE_URL, PG_DATABASE_URL, "),
        ({"DATABASE_URL": ""}, "The host manager, because none of "),
        ({"DATABASE_URL": "memory://"}, "The API, because DATABASE_URL is set."),
        ({"PG_DATABASE_URL": "memory://"}, "The API, because PG_DATABASE_URL is set."),
        ({"LISTEN_ADDRESS": "127.0.0.1:0"}, "The API, because LISTEN_ADDRESS is set."),
    ],
)
def test_the_settings_decide_what_is_checked(variables: dict[str, str], head: str) -> None:
    assert doctor(**variables, API_ADDRESS=free_address()).head.startswith(head)


def test_the_argument_decides_what_is_checked() -> None:
    address = free_address()

    assert doctor("host", DATABASE_URL="memory://", API_ADDRESS=address).head.startswith(
        "The host manager, as requested. Settings: this environment. User: uid "
    )
    assert doctor("api", DATABASE_URL="memory://").head.startswith("The API, as requested.")


@pytest.mark.parametrize("subject", [["host"], ["api"], []])
def test_the_api_option_is_refused(subject: list[str]) -> None:
    ended = run_to_end("manmanv2", "--api", free_address(), "doctor", *subject)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "does not accept --api: set API_ADDRESS instead." in ended.stderr


def test_the_settings_of_a_service_are_read_from_its_files_before_the_environment(
    guarded: Api, docker_socket: Path, tmp_path: Path
) -> None:
    file, more, key_file = tmp_path / "host.env", tmp_path / "more.env", tmp_path / "key"
    file.write_text(
        "# As systemd reads it\n"
        f'API_ADDRESS="{guarded.address}"\n'
        "SERVER_NAME=overridden\n"
        f"DOCKER_SOCKET={docker_socket}\n"
    )
    more.write_text("SERVER_NAME=web1\n")
    key_file.write_text(f"{KEY}\n")
    report = doctor(
        *("--env-file", str(file), "--env-file", str(more)),
        # Variables of a login shell, which the service does not see.
        API_ADDRESS=free_address(),
        DATABASE_URL="memory://",
        # Variables that the service manager sets in addition to the file.
        REGISTRATION_KEY_FILE=str(key_file),
        LOG_FORMAT="",
        METRICS_ADDRESS="",
    )

    assert report.head.startswith("The host manager, because none of ")
    assert f"Settings: {file}, {more}, this environment." in report.head
    assert report.of("Settings").endswith(
        "set by file: API_ADDRESS, SERVER_NAME, DOCKER_SOCKET; by this environment:"
        " REGISTRATION_KEY_FILE"
    )
    assert report.of("Name").endswith("web1, from SERVER_NAME")
    assert report.exit_code == 0


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    ended = run_to_end("manmanv2", "doctor", "--env-file", str(tmp_path / "none"))

    assert ended.returncode == 66
    assert ended.stderr == (
        f"manmanv2: {tmp_path / 'none'} cannot be read: No such file or directory\n"
    )


def test_the_json_output_is_a_list_of_results(guarded: Api, docker_socket: Path) -> None:
    ended = run_to_end(
        *("manmanv2", "doctor", "-o", "json"),
        API_ADDRESS=guarded.address,
        DOCKER_SOCKET=str(docker_socket),
        SERVER_NAME="web1",
    )
    results = {result["check"]: result for result in json.loads(ended.stdout)}

    assert ended.returncode == 78
    assert ended.stderr.startswith("The host manager, because ")
    assert results["Name"] == {
        "check": "Name",
        "outcome": "ok",
        "summary": "web1, from SERVER_NAME",
        "fix": "",
        "found": "web1, from SERVER_NAME",
        "cure": "",
    }
    assert results["Key"] == {
        "check": "Key",
        "outcome": "fail",
        "summary": "REGISTRATION_KEY is not set, and the API requires a key",
        "fix": "set it to the API's key, where the service reads its settings",
        "found": "REGISTRATION_KEY is not set, and the API requires a key",
        "cure": "set it to the API's key, where the service reads its settings",
    }


def test_every_wrong_setting_is_a_line_and_checks_that_do_not_need_it_run(
    docker_socket: Path,
) -> None:
    report = doctor(
        API_ADDRESS="http://api",
        LOG_LEVEL="loud",
        DOCKER_SOCKET=str(docker_socket),
        SERVER_NAME="web1",
    )

    assert [line for line in report.lines if " Settings " in line] == [
        "FAIL  Settings   LOG_LEVEL: must be one of debug, info, warning, error",
        (
            "FAIL  Settings   API_ADDRESS: must be HOST:PORT, for example localhost:50051, or"
            " https://HOST or https://HOST:PORT for TLS"
        ),
    ]
    assert report.of("Docker").startswith("ok")
    assert report.of("API") == "skip  API        not checked, because API_ADDRESS is wrong"
    assert report.of("Key").startswith("skip")
    assert report.exit_code == 78


@pytest.mark.parametrize("subject", ["host", "api"])
def test_a_secret_that_is_not_text_is_not_printed(subject: str) -> None:
    report = doctor(
        subject,
        REGISTRATION_KEY=f"{KEY}\n",
        RABBITMQ_URL=f"amqp://u:{canary('broker password')}/@h",
        DATABASE_URL=f"oracle://u:{canary('database password')}@h/d",
        API_ADDRESS=free_address(),
    )

    assert report.exit_code == 78


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("commands", {"alembic", "docker", "kombu", "psutil", "psycopg2", "sqlalchemy", "uvloop"}),
        # The image of the host has none of these.
        ("doctor.host", {"alembic", "psycopg2", "sqlalchemy", "uvloop"}),
        ("doctor.api", {"docker"}),
    ],
)
def test_no_unneeded_library_is_loaded(module: str, foreign: set[str]) -> None:
    code = (
        f"import sys, entrypoints.cli.commands, entrypoints.cli.{module}\n"
        f"sys.exit(', '.join({foreign} & sys.modules.keys()) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
