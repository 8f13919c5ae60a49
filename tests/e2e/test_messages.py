"""Hosts over AMQP, with a real broker and real processes."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pika

from adapters.sql.migrations import upgrade
from application.host.key_ring import KeyRing
from domain.backoff import MAX_DELAY_SECONDS
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.event_subscriber import EventSubscriber, channel
from tests.support.processes import (
    TIMEOUT_SECONDS,
    Api,
    Process,
    client,
    eventually,
    free_address,
    run_to_end,
    servers,
)
from tests.support.services.postgres import PostgresCluster
from tests.support.services.rabbitmq import PASSWORD, RabbitBroker

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

KEY = canary("registration key")

# Logged once the queue is bound. A message that is sent earlier is lost.
LISTENING = "Listening for messages from {}."

PATIENT = {"HEARTBEAT_INTERVAL_SECONDS": "600"}


def send(url: str, routing_key: str, body: bytes, **properties: Any) -> None:
    """Send with another client library, as a third-party host would."""
    with channel(url) as open_channel:
        open_channel.basic_publish(
            "manman", routing_key, body, pika.BasicProperties(**properties), mandatory=True
        )


def dead_letters(url: str) -> list[tuple[str, str, bytes]]:
    """Routing key, reason and body of each. Leaves them in the queue."""
    letters: list[tuple[str, str, bytes]] = []
    with channel(url) as open_channel:
        while True:
            method, properties, body = open_channel.basic_get("manman.dead-letters")
            if method is None:
                return letters
            letters.append((method.routing_key, properties.headers["reason"], body))


def waiting(url: str, queue: str) -> int | None:
    """The number of messages in the queue, or None if it does not exist yet."""
    with channel(url) as open_channel:
        try:
            declared = open_channel.queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return None
        return int(declared.method.message_count)


def test_a_host_registers_reports_and_leaves_over_amqp(
    postgres_url: str,
    rabbitmq_url: str,
    start_api: StartApi,
    start_host: StartHost,
    tmp_path: Path,
) -> None:
    api = start_api(postgres_url, RABBITMQ_URL=rabbitmq_url, REGISTRATION_KEY=KEY)
    folder = tmp_path / "config"
    host = start_host(
        None,
        TRANSPORT="amqp",
        RABBITMQ_URL=rabbitmq_url,
        REGISTRATION_KEY=KEY,
        SERVER_NAME="box",
        ENVIRONMENT="production",
        CONFIG_DIR=str(folder),
    )
    host.wait_until_logged("Registered as server 1 under the name box")
    first = servers(api.address)["box"]
    run_to_end(
        *("manmanv2", "configs", "put", "1", "limits"), stdin="[16]", API_ADDRESS=api.address
    )
    eventually((folder / "limits.json").exists, "the document", api, host)
    eventually(
        lambda: servers(api.address)["box"].last_seen > first.last_seen, "heartbeats", api, host
    )

    assert (first.status, first.environment) == ("online", "production")
    assert first.capabilities.total_memory_mb > 0
    assert (folder / "limits.json").read_text() == "[16]"
    assert host.terminate() == 0
    assert servers(api.address)["box"].status == "offline"
    assert dead_letters(rabbitmq_url) == []


def test_a_host_with_a_wrong_key_ends_over_amqp_too(
    rabbitmq_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    start_api("memory://", RABBITMQ_URL=rabbitmq_url, REGISTRATION_KEY=KEY)
    host = start_host(
        None, TRANSPORT="amqp", RABBITMQ_URL=rabbitmq_url, REGISTRATION_KEY=canary("other key")
    )

    assert host.wait() == 77
    assert host.logged(
        "The API behind RABBITMQ_URL refuses this host because of an invalid registration key"
    )


def test_the_migration_to_legacy_mode_and_back_keeps_the_server(
    postgres_url: str, rabbitmq_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api(postgres_url, RABBITMQ_URL=rabbitmq_url, REGISTRATION_KEY=KEY)
    registering = {"REGISTRATION_KEY": KEY, "SERVER_NAME": "box", "RABBITMQ_URL": rabbitmq_url}
    with client(api.address) as stub:
        for _ in range(2):
            host = start_host(api.address, **registering)
            host.wait_until_logged("Registered as server 1 ")
            host.terminate()
            put = pb.PutConfigurationRequest(server_id=1, name="limits", document="{}")
            stub.PutConfiguration(put)
            legacy = start_host(None, SERVER_ID="1", RABBITMQ_URL=rabbitmq_url)
            legacy.wait_until_logged("Online as server 1.")
            seen = servers(api.address)["box"]

            assert seen.status == "online"
            assert seen.capabilities.total_memory_mb > 0
            assert eventually(
                lambda seen=seen: servers(api.address)["box"].last_seen > seen.last_seen,  # type: ignore[misc]
                "heartbeats",
                api,
            )
            assert legacy.terminate() == 0
            assert servers(api.address)["box"].status == "offline"

    assert servers(api.address)["box"].config_revision == 2
    assert len(servers(api.address)) == 1


def test_a_legacy_host_that_dies_goes_offline_after_its_silence(
    rabbitmq_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url)
    with client(api.address) as stub:
        stub.CreateServer(pb.CreateServerRequest(name="box"))
    legacy = start_host(None, SERVER_ID="1", RABBITMQ_URL=rabbitmq_url)
    legacy.wait_until_logged("Online as server 1.")
    legacy.kill()

    assert eventually(lambda: servers(api.address)["box"].status == "offline", "silence", api)


def test_an_unknown_id_ends_a_legacy_host_with_one_sentence(
    rabbitmq_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    start_api("memory://", RABBITMQ_URL=rabbitmq_url)
    legacy = start_host(None, SERVER_ID="4711", RABBITMQ_URL=rabbitmq_url)

    assert legacy.wait() == 78
    assert legacy.events[-1]["event"].startswith("No server has the id 4711 (SERVER_ID)")


def test_a_third_party_client_may_report_status_and_health(
    rabbitmq_url: str, start_api: StartApi
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url, **PATIENT)
    with client(api.address) as stub:
        stub.CreateServer(pb.CreateServerRequest(name="box"))

    def status() -> str:
        return servers(api.address)["box"].status

    api.wait_until_logged(LISTENING.format("manman.reports"))
    send(rabbitmq_url, "status.host.1", b'{"server_id": 1, "status": "online"}')
    eventually(lambda: status() == "online", "its status", api)
    send(rabbitmq_url, "health.host.1", b'{"server_id": 1, "capabilities": {"cpu_cores": 7}}')
    eventually(lambda: servers(api.address)["box"].capabilities.cpu_cores == 7, "health", api)
    send(rabbitmq_url, "health.host.1", b'{"server_id": 1, "uptime": 3.5, "more": [null]}')
    send(rabbitmq_url, "status.host.1", b'{"server_id": 1, "status": "offline"}')
    eventually(lambda: status() == "offline", "its leaving message", api)

    assert dead_letters(rabbitmq_url) == []


MALFORMED = {
    b"": "the body is not JSON",
    b"\xff\xfe": "the body is not JSON",
    b"{": "the body is not JSON",
    b"[" * 100_000: "the body is not JSON",
    b'[{"server_id": 1}]': "the body is not a JSON object",
    b"{}": "server_id is 0, but the routing key names 1",
    b'{"server_id": "1"}': "server_id must be an integer",
    b'{"server_id": true}': "server_id must be an integer of at most 9223372036854775807",
    b'{"server_id": 1e0}': "server_id must be an integer",
    b'{"server_id": 2}': "server_id is 2, but the routing key names 1",
    b'{"server_id": 1' + b"0" * 5000 + b"}": "the body is not JSON",
    b'{"server_id": 1, "capabilities": []}': "capabilities must be an object",
    b'{"server_id": 1, "capabilities": {"cpu_cores": "4"}}': "cpu_cores must be an integer",
    b'{"server_id": 1, "capabilities": {"cpu_cores": -1}}': (
        "capabilities.cpu_cores is -1, but must be from 0 to 65536"
    ),
    b'{"server_id": 1, "capabilities": {"available_ports": [7]}}': (
        "available_ports must hold objects"
    ),
    b'{"server_id": 1, "capabilities": {"docker_version": "\\ud800"}}': (
        "docker_version cannot be encoded as UTF-8"
    ),
    b'{"server_id": 1, "capabilities": {}, "x": "' + b"x" * 1024 * 1024 + b'"}': (
        "the body has 1048621 bytes, at most 524288 are allowed"
    ),
}


def test_a_malformed_message_becomes_a_dead_letter_with_the_reason(
    rabbitmq_url: str, start_api: StartApi
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url, **PATIENT)
    with client(api.address) as stub:
        stub.CreateServer(pb.CreateServerRequest(name="box"))
    for queue in ("manman.reports", "manman.calls"):
        api.wait_until_logged(LISTENING.format(queue))
    for _ in range(2):
        for body in MALFORMED:
            send(rabbitmq_url, "health.host.1", body)
        send(rabbitmq_url, "status.host.1", b'{"server_id": 1, "status": "asleep"}')
        send(rabbitmq_url, "health.host.4711", b'{"server_id": 4711}')
    send(rabbitmq_url, "register.host", b'{"name": 7, "registration_key": "%s"}' % KEY.encode())
    # A valid message after all of these is handled.
    send(rabbitmq_url, "status.host.1", b'{"server_id": 1, "status": "online"}')
    eventually(lambda: servers(api.address)["box"].status == "online", "a good one", api)
    eventually(
        lambda: waiting(rabbitmq_url, "manman.dead-letters") == 2 * len(MALFORMED) + 5,
        "the dead letters",
        api,
    )
    letters = dead_letters(rabbitmq_url)

    for body, reason in MALFORMED.items():
        assert [
            why for key, why, stored in letters if stored == body[:65536] and key == "health.host.1"
        ] == [reason] * 2
    reasons = {key: why for key, why, _ in letters}
    assert reasons["status.host.1"] == "status must be one of online, offline"
    assert reasons["health.host.4711"] == "server 4711 does not exist"
    # A body that may contain a key is not kept.
    assert [(why, body) for key, why, body in letters if key == "register.host"] == [
        ("name must be a string", b"")
    ]
    assert api.count("server 4711 does not exist") == 1
    assert not any("Traceback" in str(event) for event in api.events)


def test_a_command_makes_a_host_report_and_fetch_at_once(
    rabbitmq_url: str, start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    # Without a command nothing would happen for ten minutes.
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url, **PATIENT)
    folder = tmp_path / "config"
    host = start_host(
        api.address, SERVER_NAME="box", RABBITMQ_URL=rabbitmq_url, CONFIG_DIR=str(folder)
    )
    host.wait_until_logged("Registered as server 1 ")
    host.wait_until_logged("Listening for operator commands.")
    before = servers(api.address)["box"].last_seen
    put = ("manmanv2", "configs", "put", "1", "limits")
    run_to_end(*put, stdin="{}", API_ADDRESS=api.address)
    eventually(lambda: servers(api.address)["box"].last_seen <= before, "silence", host)
    asked = run_to_end("manmanv2", "servers", "refresh", "1", API_ADDRESS=api.address)
    eventually((folder / "limits.json").exists, "the document", api, host)

    assert (asked.returncode, asked.stdout) == (0, "asked the host of server 1\n")
    assert servers(api.address)["box"].last_seen >= before

    for _ in range(3):
        send(rabbitmq_url, "command.host.1.dance", b'{"how": "slow"}')
    eventually(lambda: waiting(rabbitmq_url, "manman.dead-letters") == 3, "dead letters", host)

    assert (
        dead_letters(rabbitmq_url)
        == [
            (
                "command.host.1.dance",
                "unknown command: this host knows config, report",
                b'{"how": "slow"}',
            )
        ]
        * 3
    )
    assert host.count("command.host.1.dance") == 1
    assert host.terminate() == 0


def test_a_command_that_no_host_would_receive_fails_with_one_sentence(
    rabbitmq_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url)
    alone = start_api("memory://")
    for one in (api, alone):
        start_host(one.address, SERVER_NAME="box").wait_until_logged("Registered")

    def refresh(address: str, server_id: str) -> tuple[int, str]:
        ended = run_to_end("manmanv2", "servers", "refresh", server_id, API_ADDRESS=address)
        return ended.returncode, ended.stderr

    code, words = refresh(api.address, "1")
    assert code == 69
    assert words == (
        "manmanv2: the host of server 1 does not listen for commands: set its RABBITMQ_URL to"
        " that of this API, including the virtual host\n"
    )
    code, words = refresh(alone.address, "1")
    assert code == 69
    assert words == (
        "manmanv2: hosts receive commands through a broker, and this API has none: set"
        " RABBITMQ_URL on the API\n"
    )
    assert refresh(api.address, "2") == (66, "manmanv2: server 2 does not exist\n")


def test_virtual_hosts_separate_dev_and_prod_on_one_machine(
    rabbitmq: RabbitBroker, start_api: StartApi, start_host: StartHost
) -> None:
    apis = {}
    for environment in ("dev", "prod"):
        url = rabbitmq.url(environment)
        apis[environment] = start_api("memory://", RABBITMQ_URL=url, **PATIENT)
        start_host(
            None, TRANSPORT="amqp", RABBITMQ_URL=url, ENVIRONMENT=environment
        ).wait_until_logged("Registered as server 1 ")
    listed = {environment: servers(api.address) for environment, api in apis.items()}
    hostname = socket.gethostname()

    assert {environment: list(names) for environment, names in listed.items()} == {
        "dev": [f"{hostname}-dev"],
        "prod": [f"{hostname}-prod"],
    }


def test_the_api_and_a_host_wait_for_a_broker_that_is_not_there_yet(
    rabbitmq: RabbitBroker, start_api: StartApi, start_host: StartHost
) -> None:
    rabbitmq.stop()
    api = start_api("memory://", RABBITMQ_URL=rabbitmq.url())
    host = start_host(None, TRANSPORT="amqp", RABBITMQ_URL=rabbitmq.url(), SERVER_NAME="box")
    host.wait_until_logged("nothing listens on that port")
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="over-grpc"), timeout=600)
    rabbitmq.start()
    # A host that tries just before the API has connected again waits for its longest delay.
    host.wait_until_logged("Registered as server 2 ", MAX_DELAY_SECONDS + TIMEOUT_SECONDS)
    host.wait_until_logged("The API answers again.")

    assert servers(api.address)["box"].status == "online"
    assert host.count("nothing listens on that port") == 1
    for process in (api, host):
        assert process.running
        assert not any("Traceback" in str(event) for event in process.events)


def test_a_killed_broker_causes_no_restart_and_no_wrong_status(
    postgres_url: str, rabbitmq: RabbitBroker, start_api: StartApi, start_host: StartHost
) -> None:
    subscriber = EventSubscriber(rabbitmq.url())
    api = start_api(postgres_url, RABBITMQ_URL=rabbitmq.url())
    over_amqp = {"TRANSPORT": "amqp", "RABBITMQ_URL": rabbitmq.url()}
    hosts = [start_host(None, SERVER_NAME=f"box-{n}", **over_amqp) for n in range(3)]
    silent = start_host(api.address, SERVER_NAME="silent")
    for host in (*hosts, silent):
        host.wait_until_logged("Registered")
    _let_queues_settle()
    rabbitmq.kill()
    silent.kill()
    for host in hosts:
        host.wait_until_logged("Trying again until it answers.")
    # Hosts over gRPC expire as usual; hosts whose broker the API has lost do not.
    eventually(lambda: servers(api.address)["silent"].status == "offline", "silence", api)
    statuses = {servers(api.address)[f"box-{n}"].status for n in range(3)}
    rabbitmq.start()
    for host in hosts:
        host.wait_until_logged("The API answers again.")
    before = {name: server.last_seen for name, server in servers(api.address).items()}
    eventually(
        lambda: all(
            servers(api.address)[f"box-{n}"].last_seen > before[f"box-{n}"] for n in range(3)
        ),
        "heartbeats",
        api,
    )

    ids = {name: server.server_id for name, server in servers(api.address).items()}
    eventually(lambda: len(subscriber.kinds(ids["silent"])) == 3, "the last event", api)

    assert subscriber.kinds(ids["silent"]) == ["registered", "online", "stale"]
    for number in range(3):
        assert subscriber.kinds(ids[f"box-{number}"]) == ["registered", "online"]
    assert statuses == {"online"}
    assert {servers(api.address)[f"box-{n}"].status for n in range(3)} == {"online"}
    assert all(host.running and host.count("Registered") == 1 for host in hosts)
    assert not any("Traceback" in str(event) for event in api.events)


def test_a_queue_that_is_deleted_under_its_consumer_is_declared_again(
    rabbitmq_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url)
    host = start_host(None, TRANSPORT="amqp", RABBITMQ_URL=rabbitmq_url, SERVER_NAME="box")
    host.wait_until_logged("Registered as server 1 ")
    for queue in ("manman.reports", "manman.calls", "host-1-commands", "manman.dead-letters"):
        with channel(rabbitmq_url) as open_channel:
            open_channel.queue_delete(queue)
    before = servers(api.address)["box"].last_seen
    eventually(lambda: servers(api.address)["box"].last_seen > before + 1, "heartbeats", api, host)
    eventually(
        lambda: waiting(rabbitmq_url, "host-1-commands") is not None, "the host's queue", host
    )
    second = start_host(None, TRANSPORT="amqp", RABBITMQ_URL=rabbitmq_url, SERVER_NAME="second")

    assert second.wait_until_logged("Registered as server 2 ")
    send(rabbitmq_url, "health.host.4711", b'{"server_id": 4711}')
    assert eventually(
        lambda: waiting(rabbitmq_url, "manman.dead-letters") == 1, "a dead letter", api
    )


@contextmanager
def silent_broker() -> Iterator[str]:
    """Accepts connections and never sends anything."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"amqp://guest:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}/"


def test_a_broker_that_never_answers_blocks_nothing(
    start_api: StartApi, start_host: StartHost
) -> None:
    with silent_broker() as url:
        api = start_api("memory://", RABBITMQ_URL=url)
        over_amqp = start_host(None, TRANSPORT="amqp", RABBITMQ_URL=url)
        over_grpc = start_host(api.address, RABBITMQ_URL=url, SERVER_NAME="box")
        over_grpc.wait_until_logged("Registered as server 1 ")
        over_amqp.wait_until_logged("does not answer in time")
        api.wait_until_logged("Events wait in the store")
        before = servers(api.address)["box"].last_seen
        refresh = run_to_end("manmanv2", "servers", "refresh", "1", API_ADDRESS=api.address)
        eventually(lambda: servers(api.address)["box"].last_seen > before + 2, "heartbeats", api)
        exit_codes = [process.terminate() for process in (over_amqp, over_grpc, api)]

    assert refresh.returncode == 69
    assert "does not answer in time" in refresh.stderr
    assert exit_codes == [0, 0, 0]


def test_no_acknowledged_heartbeat_is_missing_after_broker_and_api_were_killed(
    postgres_url: str, rabbitmq: RabbitBroker, start_api: StartApi
) -> None:
    from adapters.amqp.broker import Broker
    from adapters.amqp.control_plane import AmqpControlPlane
    from application.ports.host.control_plane import ControlPlaneUnavailable, RegistrationRequest
    from domain.capabilities import Capabilities

    apis = [start_api(postgres_url, RABBITMQ_URL=rabbitmq.url(), **PATIENT) for _ in range(2)]
    host = AmqpControlPlane(Broker(rabbitmq.url()), KeyRing.single(""))
    for api in apis:
        api.wait_until_logged(LISTENING.format("manman.calls"))
    joined = host.register(RegistrationRequest(name="box"))
    acknowledged = 0
    _let_queues_settle()
    with client(apis[1].address) as stub:
        for cores in range(1, 160):
            if cores == 40:
                rabbitmq.kill()
                rabbitmq.start()
            if cores == 100:
                apis[0].kill()
            with suppress(ControlPlaneUnavailable):
                host.heartbeat(joined.server_id, Capabilities(cpu_cores=cores))
                acknowledged = cores
                server = stub.GetServer(pb.GetServerRequest(server_id=1)).server

                assert server.capabilities.cpu_cores == cores
    host.close()

    assert acknowledged == 159


def test_a_message_is_acknowledged_only_after_its_commit(
    own_postgres: PostgresCluster, rabbitmq_url: str, start_api: StartApi
) -> None:
    url = own_postgres.create_database()
    upgrade(url)
    api = start_api(url, RABBITMQ_URL=rabbitmq_url, **PATIENT)
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="box"))
    api.wait_until_logged(LISTENING.format("manman.reports"))
    own_postgres.stop()
    send(rabbitmq_url, "status.host.1", b'{"server_id": 1, "status": "offline"}')
    # The API has received it and cannot write it.
    eventually(lambda: waiting(rabbitmq_url, "manman.reports") == 0, "it to be taken", api)
    time.sleep(1)
    api.kill()
    own_postgres.start()
    second = start_api(url, RABBITMQ_URL=rabbitmq_url, **PATIENT)

    assert eventually(
        lambda: servers(second.address)["box"].status == "offline", "the leaving heartbeat", second
    )
    assert dead_letters(rabbitmq_url) == []


def test_contradictory_settings_fail_with_one_sentence() -> None:
    both = run_to_end(
        "manmanv2-host",
        SERVER_ID="7",
        RABBITMQ_URL="amqp://h/v",
        API_ADDRESS=free_address(),
        REGISTRATION_KEY=KEY,
    )
    no_broker = run_to_end("manmanv2-host", SERVER_ID="7")
    nonsense = run_to_end("manmanv2-host", RABBITMQ_URL=f"http://user:{PASSWORD}@h/")

    assert {ended.returncode for ended in (both, no_broker, nonsense)} == {78}
    assert both.stderr == (
        "manmanv2-host: SERVER_ID is set together with API_ADDRESS and REGISTRATION_KEY: a host"
        " with an assigned id does not register; unset SERVER_ID to register, or unset"
        " API_ADDRESS and REGISTRATION_KEY to keep the id.\n"
    )
    assert no_broker.stderr == "manmanv2-host: RABBITMQ_URL: must be set, because SERVER_ID is.\n"
    assert nonsense.stderr.startswith("manmanv2-host: RABBITMQ_URL: must be amqp://")


def _let_queues_settle() -> None:
    """RabbitMQ 3.10 never elects a leader again for a quorum queue that was declared within the
    last second before a crash."""
    time.sleep(1.5)
