"""Everything that an entrypoint may ask for can be built, in every mode."""

import asyncio
import heapq
import random
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import QueuePool

from adapters.http.management_server import ManagementServer
from adapters.oidc.operator_tokens import OidcOperatorTokens
from adapters.system.call_with_timeout import CallWithTimeout
from domain.backoff import retry_delay
from domain.errors import TooManyCalls
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.cli.container import CliContainer
from entrypoints.cli.settings import CliSettings
from entrypoints.host.container import HostContainer
from entrypoints.host.settings import HostSettings
from entrypoints.settings import Secret
from tests.support.canary_secrets import canary
from tests.support.repository import ROOT

BROKER = f"amqp://guest:{canary('broker password')}@nowhere/vhost"


NEEDS_STATE_DIR = ("state_dir", "state_folder", "deregister_host")


def build_all(container: Any, *but: str) -> None:
    for name, provider in container.providers.items():
        if name not in but:
            provider()


@pytest.mark.parametrize(
    "url", [IN_MEMORY, "sqlite:///never-opened.sqlite3", "postgresql://nobody@nowhere/nothing"]
)
def test_every_object_of_the_api_can_be_built(url: str) -> None:
    container = ApiContainer(
        settings=ApiSettings(
            database_url=Secret(url), registration_key=Secret(canary("registration key"))
        )
    )

    async def build() -> None:
        build_all(container, *(["engine"] if url == IN_MEMORY else []))

    asyncio.run(build())

    assert container.host_service().register_server.store is container.store()
    assert isinstance(container.management_server_for()("127.0.0.1:50051"), ManagementServer)
    assert (
        container.record_heartbeat().heartbeat_interval
        is container.expire_servers().heartbeat_interval
    )


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(canary("registration key"))
    return file


def test_every_call_of_hosts_uses_the_current_keys_of_the_file(key_file: Path) -> None:
    variables = {"DATABASE_URL": IN_MEMORY, "REGISTRATION_KEY_FILE": str(key_file)}
    container = ApiContainer(settings=ApiSettings.load(variables))
    key_file.write_text(canary("new registration key"))
    guarded = (
        container.host_service().register_server,
        container.fetch_configuration(),
        container.deregister_server(),
    )

    for use_case in guarded:
        assert use_case.authenticate_host.registration_keys is container.registration_keys()
    assert list(container.registration_keys()()) == [canary("new registration key")]


def test_a_host_reads_its_key_file_each_time_and_survives_a_refused_key(
    key_file: Path, tmp_path: Path
) -> None:
    variables = {"REGISTRATION_KEY_FILE": str(key_file), "CONFIG_DIR": str(tmp_path)}
    container = HostContainer(settings=HostSettings.load(variables))
    key_ring = container.key_ring()
    sent = [key_ring.try_each(lambda key: key)]
    key_file.write_text(canary("new registration key"))
    sent.append(key_ring.try_each(lambda key: key))
    sync_configuration = container.sync_configuration()

    assert sent == [canary("registration key"), canary("new registration key")]
    assert sync_configuration
    assert sync_configuration.keys_may_change


def test_a_host_with_a_key_in_its_settings_sends_only_that_key() -> None:
    key = canary("registration key")
    container = HostContainer(settings=HostSettings.load({"REGISTRATION_KEY": f"'{key}' "}))

    assert container.key_ring().try_each(lambda key: key) == f"'{key}' "


def test_an_api_in_memory_loads_no_database_library() -> None:
    # An API without an OIDC provider does not load the libraries for it either.
    unwanted = {"alembic", "psycopg2", "sqlalchemy", "cryptography", "jwt", "requests"}
    code = (
        "import sys\n"
        "from entrypoints.api.settings import ApiSettings\n"
        "from entrypoints.api.worker import ApiContainer\n"
        "container = ApiContainer(settings=ApiSettings.load({'DATABASE_URL': 'memory://'}))\n"
        "container.rpc_handlers(), container.management_server_for()('127.0.0.1:1')\n"
        f"sys.exit(', '.join({unwanted!r} & sys.modules.keys()) or 0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_host_with_certificates_does_not_load_cryptography() -> None:
    code = (
        "import sys\n"
        "from entrypoints.host.container import HostContainer\n"
        "from entrypoints.host.settings import HostSettings\n"
        "settings = HostSettings.load({'API_ADDRESS': 'https://127.0.0.1:1'})\n"
        "container = HostContainer(settings=settings)\n"
        "container.run_host()\n"
        "assert container.enrolment().renewal.request_for_registration()\n"
        "sys.exit('cryptography' in sys.modules)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(("days", "kept"), [(0, None), (90, timedelta(days=90))])
def test_the_api_keeps_the_audit_log_for_the_days_that_are_set(
    days: int, kept: timedelta | None
) -> None:
    settings = ApiSettings(database_url=Secret(IN_MEMORY), audit_retention_days=days)

    assert ApiContainer(settings=settings).clean_up_fleet().audit_retention == kept


def test_an_api_with_an_oidc_provider_identifies_operators_by_their_tokens() -> None:
    settings = ApiSettings(
        database_url=Secret(IN_MEMORY),
        oidc_issuer="https://id.example.com",
        oidc_audience="manmanv2",
        oidc_name_claim="email",
    )
    container = ApiContainer(settings=settings)
    by_token = container.identify_operator().identify_by_token

    assert by_token
    assert by_token.rules == settings.claim_rules
    assert isinstance(by_token.tokens, OidcOperatorTokens)
    assert by_token.tokens.keys is container.jwks_cache()
    assert isinstance(by_token.tokens.keys.fetch, CallWithTimeout)
    assert (by_token.tokens.issuer, by_token.tokens.audience) == (
        "https://id.example.com",
        "manmanv2",
    )
    assert ApiContainer(settings=ApiSettings()).identify_operator().identify_by_token is None


@pytest.mark.parametrize("url", [IN_MEMORY, BROKER])
def test_an_api_with_a_broker_has_two_consumers(url: str) -> None:
    container = ApiContainer(
        settings=ApiSettings(database_url=Secret(IN_MEMORY), rabbitmq_url=Secret(url))
    )

    assert container.relay_events().events is container.events()
    assert len(container.consumers()) == (0 if url == IN_MEMORY else 2)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (HostSettings(), "GrpcControlPlane"),
        (HostSettings(rabbitmq_url=Secret(BROKER)), "GrpcControlPlane"),
        (HostSettings(rabbitmq_url=Secret(BROKER), transport="amqp"), "AmqpControlPlane"),
        (HostSettings(rabbitmq_url=Secret(BROKER), server_id=7), "LegacyControlPlane"),
    ],
)
def test_a_host_uses_the_transport_that_its_settings_choose(
    settings: HostSettings, kind: str
) -> None:
    container = HostContainer(settings=settings)
    build_all(container, *NEEDS_STATE_DIR)

    assert type(container.transport()).__name__ == kind
    assert (container.commands() is not None) is (settings.rabbitmq_url is not None)
    assert container.run_host().assigned_server_id == settings.server_id


@pytest.mark.parametrize("docker_optional", [False, True])
@pytest.mark.parametrize("config_dir", [None, Path("config")])
@pytest.mark.parametrize("metrics_address", ["", "127.0.0.1:9091"])
@pytest.mark.parametrize("state_dir", [None, Path("state")])
def test_every_object_of_the_host_can_be_built(
    docker_optional: bool, config_dir: Path | None, metrics_address: str, state_dir: Path | None
) -> None:
    container = HostContainer(
        settings=HostSettings(
            docker_optional=docker_optional,
            config_dir=config_dir,
            metrics_address=metrics_address,
            state_dir=state_dir,
        )
    )
    build_all(container, *(() if state_dir else NEEDS_STATE_DIR))

    assert container.run_host().control_plane is container.control_plane()
    assert (container.management_server() is not None) is bool(metrics_address)
    assert (container.run_host().sync_configuration is not None) is (config_dir is not None)


def test_every_object_of_the_operator_s_command_can_be_built() -> None:
    build_all(CliContainer(settings=CliSettings(api_address="localhost:1")))


def test_threads_that_ask_at_once_get_the_same_store() -> None:
    container = ApiContainer(settings=ApiSettings(database_url=Secret(IN_MEMORY)))
    ready = threading.Barrier(8)
    stores: list[object] = []

    def ask() -> None:
        ready.wait()
        stores.append(container.store())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(stores) == 8
    assert len({id(store) for store in stores}) == 1


def test_an_api_opens_as_many_connections_as_documented() -> None:
    url = Secret("postgresql://nobody@nowhere/nothing")
    pool = ApiContainer(settings=ApiSettings(database_url=url)).engine().pool
    document = (ROOT / "docs/operations.md").read_text()

    assert isinstance(pool, QueuePool)
    assert f"opens up to {pool.size()} connections" in document


def test_ten_thousand_hosts_with_one_key_register_within_a_minute() -> None:
    now = 1000.0
    limit = ApiContainer(settings=ApiSettings()).limit_calls().of_host_keys
    limit.monotonic = lambda: now
    tries = [(now, host, 1) for host in range(10_000)]
    chance = random.Random(1)
    joined_at = []
    while tries:
        now, host, failures = heapq.heappop(tries)
        try:
            limit.take("REGISTRATION_KEY")
            joined_at.append(now)
        except TooManyCalls as error:
            least = error.retry_after_seconds
            wait = retry_delay(failures, chance.random(), min_seconds=least)
            heapq.heappush(tries, (now + wait, host, failures + 1))

    assert max(joined_at) - 1000 < 60


def test_connections_leave_open_files_for_other_uses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    container = ApiContainer(settings=ApiSettings(max_connections=1000))
    monkeypatch.setattr("entrypoints.api.container.allow_open_files", lambda wanted: wanted)
    assert container.connection_limits().max_connections == 1000
    assert not caplog.records

    monkeypatch.setattr("entrypoints.api.container.allow_open_files", lambda _: 1024)
    assert container.connection_limits().max_connections == 768
    [record] = caplog.records
    assert record.getMessage().startswith(
        "MAX_CONNECTIONS is 1000, but this process may open only 1024 files, so it accepts only 768"
    )
