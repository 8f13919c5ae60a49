import contextlib
import logging
import math
import random
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.amqp.broker import Broker
from adapters.amqp.outgoing import Message, send
from adapters.amqp.publisher import Publisher, Unroutable
from adapters.amqp.topology import EXTERNAL, MANMAN
from application.ports.broker import BrokerUnavailable
from tests.conftest import NO_BROKER, SUBSCRIBER_QUEUE
from tests.support.builders import at_once
from tests.support.canary_secrets import canary
from tests.support.event_subscriber import EventSubscriber, channel
from tests.support.processes import eventually
from tests.support.services.ports import free_port
from tests.support.services.rabbitmq import PASSWORD, RabbitBroker, Tls, find_broker_binaries

# Seconds to wait for a peer that answers, however busy the machine is, and for one that never does.
PATIENT, IMPATIENT = 60.0, 0.5
SECRET = canary("other broker password")

NOT_FOUND = "is not found: its name does not resolve; check RABBITMQ_URL and the name service."
NO_ANSWER = (
    "does not answer in time: check that it is healthy, that the port is its AMQP port and that no"
    " firewall blocks it."
)
CLOSES = (
    "closes the connection: check that it is healthy, that the port is its AMQP port, and whether"
    " it requires amqps://."
)
NO_AMQP = "does not speak AMQP on that port: its AMQP port is usually 5672, or 5671 for amqps://."
NO_TLS = "does not speak TLS on that port: amqps:// needs its TLS port, usually 5671."
OTHER_NAME = "has a certificate for another name: use a name that the certificate contains."
NOT_VALID_NOW = (
    "has a certificate that is not valid now: renew it, or correct this machine's clock."
)
NOT_TRUSTED = (
    "has a certificate from a CA that is not trusted here: set RABBITMQ_CA_CERT_PATH to that CA's"
    " certificate."
)
OTHER_PROPERTIES = (
    "has an exchange or queue of ours with other properties: delete it; it is created again."
)


def url_at(port: int, *, host: str = "127.0.0.1", scheme: str = "amqp") -> str:
    return f"{scheme}://guest:{SECRET}@{host}:{port}/"


def port_of(broker: RabbitBroker) -> int:
    return int(broker.url().split(":")[-1].split("/")[0])


def connect(broker: Broker) -> None:
    with broker.connected():
        pass


def trouble_with(broker: Broker, act: Callable[[], object] | None = None) -> str:
    """What the error says about the broker, without its address, when the act fails.

    By default the act is to connect. The error comes in time, and contains neither the password nor
    the text of a driver.
    """
    begin = time.monotonic()
    with pytest.raises(BrokerUnavailable) as caught:
        (act or partial(connect, broker))()
    message, driver_message = str(caught.value), str(caught.value.__cause__)
    head, _, what = message.partition(" (RABBITMQ_URL) ")

    # Each wait has its own limit. The factor is for a busy machine.
    assert time.monotonic() - begin < 20 * broker.seconds
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert not driver_message or driver_message not in message
    assert head == f"The broker at {broker.url.split('@')[1].split('/')[0].strip('[]')}"
    return what


def trouble_at(url: str, ca_file: Path | None = None, seconds: float = PATIENT) -> str:
    return trouble_with(Broker(url, ca_file, seconds))


def note(number: int = 0, *, must_arrive: bool = True, body: bytes = b"{}") -> Message:
    """An event, for which the test has a subscriber."""
    return Message(
        EXTERNAL, "manman.host.test", body, message_id=f"note-{number}", must_arrive=must_arrive
    )


def lost() -> Message:
    return Message(MANMAN, "nobody.takes.this", b"{}")


@contextmanager
def publisher_to(broker: Broker) -> Iterator[Publisher]:
    with closing(Publisher(broker)) as publisher:
        yield publisher


def eventually_publish(publisher: Publisher) -> None:
    """With a time limit that a busy machine may exceed at first."""

    def is_published() -> bool:
        with contextlib.suppress(BrokerUnavailable):
            publisher.publish([note(must_arrive=False)])
            return True
        return False

    eventually(is_published, "the broker to answer in time")


@contextmanager
def port(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port that serves one connection after the other, until the end of the block.

    Connections stay open until the end of the block, unless they are closed.
    """
    with contextlib.ExitStack() as connections:
        listener = connections.enter_context(socket.create_server(("127.0.0.1", 0)))

        def accept() -> None:
            # Ends when the listener closes.
            with contextlib.suppress(OSError):
                while True:
                    connection = connections.enter_context(listener.accept()[0])
                    connection.settimeout(PATIENT)
                    with contextlib.suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def answering(answer: bytes, *, closes: bool = True) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)
        if closes:
            connection.shutdown(socket.SHUT_RDWR)

    return serve


def showing(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    """Completes the TLS handshake and does no more."""

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True):
            pass

    return serve


class Relay:
    """Relays a port to the broker, and stops after `length` bytes from the broker."""

    def __init__(self, broker: RabbitBroker, length: float = math.inf, *, closes: bool) -> None:
        self.carried = 0
        self._broker = broker
        self._length = length
        self._closes = closes
        self._ends = contextlib.ExitStack()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> str:
        # A client that waits without a limit fails then, instead of hanging forever.
        self._watchdog = threading.Timer(PATIENT, self._ends.close)
        self._watchdog.start()
        self._port = port(self._lead)
        return self._broker.url().replace(str(port_of(self._broker)), str(self._port.__enter__()))

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self._ends.close()
        for thread in self._threads:
            thread.join()
        self._port.__exit__(None, None, None)

    def _lead(self, here: socket.socket) -> None:
        there = socket.create_connection(("127.0.0.1", port_of(self._broker)))
        for end in (here, there):
            self._ends.callback(end.close)
            self._ends.callback(_shut, end)
        for carry in (self._forth, self._back):
            thread = threading.Thread(target=carry, args=(here, there))
            thread.start()
            self._threads.append(thread)

    def _forth(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while taken := here.recv(4096):
                there.sendall(taken)

    def _back(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while self.carried < self._length:
                taken = there.recv(int(min(4096, self._length - self.carried)))
                if not taken:
                    break
                here.sendall(taken)
                self.carried += len(taken)
            if self._closes:
                _shut(here)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


# Refusals of the broker


@pytest.mark.parametrize(
    "login",
    [f"guest:{SECRET}", f"nobody:{PASSWORD}", f"guest:{SECRET};@/?#"],
    ids=["password", "user", "characters"],
)
def test_a_wrong_user_or_password_is_reported(rabbitmq: RabbitBroker, login: str) -> None:
    user, _, password = login.partition(":")
    url = f"amqp://{user}:{quote(password, safe=';')}@127.0.0.1:{port_of(rabbitmq)}/"

    assert trouble_at(url) == "refuses this user or password."


def test_a_wrong_password_is_neither_logged_nor_in_the_repr(
    rabbitmq: RabbitBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = Broker(url_at(port_of(rabbitmq)), seconds=PATIENT)
    trouble_with(broker)
    with publisher_to(broker) as publisher:
        trouble_with(broker, lambda: publisher.publish([note()]))

    assert SECRET not in caplog.text
    assert SECRET not in repr(broker)


def test_a_missing_virtual_host_is_reported(rabbitmq: RabbitBroker) -> None:
    assert (
        trouble_at(rabbitmq.url("staging"))
        == "has no such virtual host, or this user may not use it."
    )


def test_a_missing_permission_is_not_reported_as_a_wrong_password(rabbitmq_url: str) -> None:
    broker = Broker(rabbitmq_url, seconds=PATIENT)

    def declare() -> None:
        with broker.connected() as connection:
            # The broker reserves names with this prefix.
            connection.channel().exchange_declare("amq.ours", "topic")

    assert trouble_with(broker, declare) == (
        "does not give this user the needed permissions: grant configure, write and read."
    )


def test_an_exchange_of_ours_with_other_properties_is_reported_with_the_fix(
    rabbitmq_url: str,
) -> None:
    with channel(rabbitmq_url) as foreign:
        foreign.exchange_declare("manman", "fanout", durable=True)
    broker = Broker(rabbitmq_url, seconds=PATIENT)
    with publisher_to(broker) as publisher:
        message = trouble_with(broker, lambda: publisher.publish([lost()]))
        with channel(rabbitmq_url) as foreign:
            foreign.exchange_delete("manman")
        publisher.publish([note(must_arrive=False)])

    assert message == OTHER_PROPERTIES


def test_a_queue_of_ours_with_other_properties_is_reported_with_the_fix(rabbitmq_url: str) -> None:
    with channel(rabbitmq_url) as foreign:
        foreign.queue_declare("manman.dead-letters", durable=True)
    broker = Broker(rabbitmq_url, seconds=PATIENT)
    with publisher_to(broker) as publisher:
        assert trouble_with(broker, lambda: publisher.publish([note()])) == OTHER_PROPERTIES


def test_a_bug_of_our_own_does_not_tell_operators_to_delete_a_queue(rabbitmq_url: str) -> None:
    broker = Broker(rabbitmq_url, seconds=PATIENT)

    def acknowledge_what_never_came() -> None:
        with broker.connected() as connection:
            connection.channel().basic_ack(4711)
            connection.drain_events(timeout=PATIENT)

    assert trouble_with(broker, acknowledge_what_never_came) == CLOSES


def test_a_queue_that_is_exclusive_to_another_connection_is_reported(rabbitmq_url: str) -> None:
    broker = Broker(rabbitmq_url, seconds=PATIENT)
    with channel(rabbitmq_url) as foreign, publisher_to(broker) as publisher:
        foreign.queue_declare("manman.dead-letters", exclusive=True)
        message = trouble_with(broker, lambda: publisher.publish([note()]))

    assert message == "has a queue that is exclusive to another connection."


def test_a_missing_exchange_is_reported_and_declared_again(rabbitmq_url: str) -> None:
    broker = Broker(rabbitmq_url, seconds=PATIENT)
    with publisher_to(broker) as publisher:
        publisher.publish([note(must_arrive=False)])
        with channel(rabbitmq_url) as foreign:
            foreign.exchange_delete("external")
        message = trouble_with(broker, lambda: publisher.publish([note(must_arrive=False)]))
        publisher.publish([note(must_arrive=False)])

    assert message == "has lost a required exchange or queue."


def test_a_full_queue_refuses_a_message_and_later_accepts_the_next_one(rabbitmq_url: str) -> None:
    broker = Broker(rabbitmq_url, seconds=PATIENT)
    with channel(rabbitmq_url) as foreign, publisher_to(broker) as publisher:
        publisher.publish([note(must_arrive=False)])
        limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
        foreign.queue_declare(SUBSCRIBER_QUEUE, durable=True, arguments=limits)
        foreign.queue_bind(SUBSCRIBER_QUEUE, "external", "#")
        # The queue refuses the message after the last one that fits.
        message = trouble_with(broker, lambda: publisher.publish([note(n) for n in range(5)]))
        foreign.queue_purge(SUBSCRIBER_QUEUE)
        publisher.publish([note()])

    assert message == "refuses a message: a queue is full, or see the broker's log."


class ShortOfMemory(RabbitBroker):
    """A broker that is always short of memory."""

    def _configure(self) -> None:
        super()._configure()
        with self._settings.open("a") as file:
            file.write("vm_memory_high_watermark.absolute = 1000000\n")


def test_a_broker_that_is_short_of_memory_fails_publishers_at_once_but_not_consumers(
    rabbitmq: RabbitBroker,
) -> None:
    with ShortOfMemory() as short:
        broker = Broker(short.url(), seconds=PATIENT)
        begin = time.monotonic()
        with publisher_to(broker) as publisher:
            message = trouble_with(broker, lambda: publisher.publish([note(must_arrive=False)]))
        took = time.monotonic() - begin
        # A consumer is blocked as well, and goes on listening. Its close is not answered.
        with Broker(short.url(), seconds=5.0).connected(heartbeat_seconds=60) as connection:
            send(connection.channel(), note(must_arrive=False), PATIENT)
            connection.drain_events(timeout=PATIENT)

    assert message == "is short of memory or disk and accepts no messages."
    assert took < PATIENT / 2


# No broker at the address


def test_a_name_that_does_not_resolve_is_reported() -> None:
    # The resolver decides how long that takes.
    broker = Broker(url_at(5672, host="broker.manman.invalid"), seconds=30)

    assert trouble_with(broker) == NOT_FOUND


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "x" * 300])
def test_an_invalid_host_name_does_not_resolve(host: str) -> None:
    assert trouble_at(url_at(5672, host=host)) == NOT_FOUND


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_a_port_where_nothing_listens_is_reported(scheme: str) -> None:
    assert trouble_at(url_at(free_port(), scheme=scheme)) == (
        "is not there: nothing listens on that port; check that it runs."
    )


def test_an_unreachable_network_is_reported() -> None:
    assert trouble_at(url_at(5672, host="255.255.255.255")) == (
        "cannot be reached from here: check its address and this machine's network."
    )


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_the_wait_for_a_port_that_accepts_and_never_answers_is_limited(
    scheme: str,
) -> None:
    with port(lambda _: None) as here:
        assert trouble_at(url_at(here, scheme=scheme), seconds=IMPATIENT) == NO_ANSWER


def test_the_wait_for_a_port_that_accepts_no_connection_is_limited() -> None:
    with socket.socket() as full, socket.socket() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting.connect(full.getsockname())

        assert trouble_at(url_at(full.getsockname()[1]), seconds=IMPATIENT) == NO_ANSWER


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_a_port_that_closes_at_once_is_reported(scheme: str) -> None:
    with port(lambda connection: connection.close()) as here:
        assert trouble_at(url_at(here, scheme=scheme)) == CLOSES


HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.2p1\r\n"
# The greeting of a broker that speaks another version of AMQP.
AMQP_1_0 = b"AMQP\x03\x01\x00\x00"


@pytest.mark.parametrize("answer", [HTTP, SSH, AMQP_1_0, random.Random(7).randbytes(2000)])
def test_a_port_with_another_protocol_is_reported(answer: bytes) -> None:
    with port(answering(answer)) as here:
        assert trouble_at(url_at(here)) == CLOSES
    # A program that waits for a request in its own protocol.
    with port(answering(answer, closes=False)) as here:
        assert trouble_at(url_at(here), seconds=IMPATIENT) == NO_ANSWER


@pytest.mark.parametrize("answer", [HTTP, SSH, AMQP_1_0, bytes(100)])
def test_a_port_without_tls_is_reported(answer: bytes) -> None:
    with port(answering(answer, closes=False)) as here:
        assert trouble_at(url_at(here, scheme="amqps")) == NO_TLS


def frame(payload: bytes, *, kind: int = 1, channel_id: int = 0, end: bytes = b"\xce") -> bytes:
    return struct.pack(">BHI", kind, channel_id, len(payload)) + payload + end


START = b"\x00\x0a\x00\x0a"
TUNE = b"\x00\x0a\x00\x1e"
CLOSE = b"\x00\x0a\x00\x32"


@pytest.mark.parametrize(
    "answer",
    [
        bytes(100),
        frame(b""),
        frame(b"\x00"),
        frame(b"\x7f" * 4),
        frame(START),
        frame(START + b"\xff" * 40),
        frame(START + b"\x00\x09\x00\x00\x00\x05\x01a?xx" + bytes(8)),
        frame(START + b"\x00\x09" + bytes(4) + b"\x00\x00\x00\x01\xff" + bytes(4)),
        frame(START, channel_id=7),
        frame(b"header", kind=2),
        frame(b"body", kind=3),
        frame(START, end=b"x"),
        frame(TUNE),
    ],
)
@pytest.mark.parametrize("closes", [False, True])
def test_frames_that_are_not_amqp_are_reported(answer: bytes, closes: bool) -> None:
    with port(answering(answer, closes=closes)) as here:
        assert trouble_at(url_at(here)) == NO_AMQP


@settings(max_examples=60)
@given(
    st.lists(
        st.binary(max_size=200)
        | st.builds(
            lambda method, rest, kind, channel_id: frame(
                method + rest, kind=kind, channel_id=channel_id
            ),
            st.sampled_from([START, TUNE, CLOSE]),
            st.binary(max_size=60),
            st.sampled_from([1, 1, 1, 2, 3, 8, 9]),
            st.sampled_from([0, 0, 0, 1, 65535]),
        ),
        max_size=3,
    ).map(b"".join)
)
def test_any_answer_of_a_port_leads_to_one_sentence(answer: bytes) -> None:
    with port(answering(answer)) as here:
        assert trouble_at(url_at(here)).endswith(".")


# Peers that stop answering


def test_a_broker_that_closes_or_falls_silent_at_any_point_is_reported_in_time(
    rabbitmq: RabbitBroker,
) -> None:
    def publish_over(relay: Relay, seconds: float) -> str:
        with relay as url, publisher_to(Broker(url, seconds=seconds)) as publisher:
            broker = Broker(url, seconds=seconds)
            return trouble_with(broker, lambda: publisher.publish([note(must_arrive=False)]))

    whole = Relay(rabbitmq, closes=True)
    with whole as url, publisher_to(Broker(url, seconds=PATIENT)) as publisher:
        publisher.publish([note(must_arrive=False)])
        length = whole.carried
    # The first frame is long, the later ones are short.
    points = [0, 3, 7, 100, *range(length - 90, length, 8)]

    broken = at_once(
        [partial(publish_over, Relay(rabbitmq, n, closes=True), PATIENT) for n in points]
    )
    silent = at_once([partial(publish_over, Relay(rabbitmq, n, closes=False), 1.0) for n in points])

    assert set(broken) == {CLOSES}
    assert set(silent) == {NO_ANSWER}


def test_the_wait_for_a_frozen_broker_is_limited(rabbitmq: RabbitBroker) -> None:
    broker = Broker(rabbitmq.url(), seconds=1.0)
    with publisher_to(broker) as publisher, publisher_to(broker) as another:
        eventually_publish(publisher)
        eventually_publish(another)
        rabbitmq.freeze()
        try:
            message = [
                trouble_with(broker),
                trouble_with(broker, lambda: publisher.publish([note(must_arrive=False)])),
                # The first message fills the buffers of the connection.
                trouble_with(broker, lambda: another.publish([note(body=bytes(2**24))] * 2)),
            ]
        finally:
            rabbitmq.thaw()
        eventually_publish(publisher)

    assert message == [NO_ANSWER] * 3


def test_a_broker_that_freezes_while_a_large_message_is_sent_does_not_answer_in_time(
    rabbitmq: RabbitBroker,
) -> None:
    broker = Broker(rabbitmq.url(), seconds=1.0)

    def send_much() -> None:
        with broker.connected() as connection:
            open_channel = connection.channel()
            rabbitmq.freeze()
            send(open_channel, note(body=bytes(2**24)), broker.seconds)

    try:
        assert trouble_with(broker, send_much) == NO_ANSWER
    finally:
        rabbitmq.thaw()


def test_a_broker_that_was_restarted_between_two_publishes_is_not_noticed(
    rabbitmq: RabbitBroker,
) -> None:
    subscriber = EventSubscriber(rabbitmq.url())
    broker = Broker(rabbitmq.url(), seconds=PATIENT)
    with publisher_to(broker) as publisher, publisher_to(broker) as hasty:
        publisher.publish([note(1)])
        hasty.publish([note(2)])
        rabbitmq.stop()
        message = trouble_with(broker, lambda: hasty.publish([note(3)]))
        rabbitmq.start()
        publisher.publish([note(4)])
        hasty.publish([note(5)])

    assert message == "is not there: nothing listens on that port; check that it runs."
    assert [received.message_id for received in subscriber.listen()] == [
        *("note-1", "note-2", "note-4", "note-5"),
    ]


# Publishing


def test_a_message_that_no_queue_takes_is_unroutable_and_the_next_one_arrives(
    rabbitmq_url: str,
) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    with publisher_to(Broker(rabbitmq_url, seconds=PATIENT)) as publisher:
        publisher.publish([note(1)])
        for _ in range(2):
            with pytest.raises(Unroutable):
                publisher.publish([lost()])
        publisher.publish([note(2)])

    assert [received.message_id for received in subscriber.listen()] == ["note-1", "note-2"]


def test_a_message_that_need_not_arrive_may_have_no_queue(rabbitmq_url: str) -> None:
    with publisher_to(Broker(rabbitmq_url, seconds=PATIENT)) as publisher:
        publisher.publish([note(must_arrive=False)])
        publisher.publish([])


def test_a_thousand_messages_arrive_in_their_order_with_their_ids(rabbitmq_url: str) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    bodies = [f'{{"number":{number}}}'.encode() for number in range(1000)]
    with publisher_to(Broker(rabbitmq_url, seconds=PATIENT)) as publisher:
        publisher.publish([note(number, body=body) for number, body in enumerate(bodies)])
    received = subscriber.listen()

    assert [one.message_id for one in received] == [f"note-{number}" for number in range(1000)]
    assert [one.body["number"] for one in received] == list(range(1000))


def test_threads_may_share_a_publisher(rabbitmq_url: str) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    with publisher_to(Broker(rabbitmq_url, seconds=PATIENT)) as publisher:

        def publish(thread: int) -> None:
            for number in range(0, 30, 3):
                publisher.publish([note(thread * 100 + number + one) for one in range(3)])

        at_once([partial(publish, thread) for thread in range(8)])
    received = [int(one.message_id.removeprefix("note-")) for one in subscriber.listen()]

    assert len(received) == 240
    for thread in range(8):
        assert [number % 100 for number in received if number // 100 == thread] == list(range(30))


def test_confirms_in_another_order_are_all_counted(rabbitmq_url: str) -> None:
    # The broker confirms a message that a queue stores later than one that no queue takes.
    EventSubscriber(rabbitmq_url)
    elsewhere = replace(note(must_arrive=False), routing_key="nobody.listens")
    with publisher_to(Broker(rabbitmq_url, seconds=PATIENT)) as publisher:
        for _ in range(30):
            publisher.publish([note(), elsewhere, note(), elsewhere, elsewhere])


def test_a_closed_publisher_opens_again(rabbitmq_url: str) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    publisher = Publisher(Broker(rabbitmq_url, seconds=PATIENT))
    for number in range(2):
        publisher.publish([note(number)])
        publisher.close()
    publisher.close()

    assert len(subscriber.listen()) == 2


# The URL


def test_the_encoded_parts_of_a_url_are_decoded(rabbitmq: RabbitBroker) -> None:
    password = f"%{ord(PASSWORD[0]):x}{PASSWORD[1:]}"
    url = f"amqp://%67uest:{password}@127.0.0.1:{port_of(rabbitmq)}/%64ev"
    with Broker(url, seconds=PATIENT).connected() as connection:
        assert connection.virtual_host == "dev"


def test_a_query_in_the_url_does_not_change_the_connection(rabbitmq_url: str) -> None:
    query = "?heartbeat=1&ssl_cert_reqs=none&connect_timeout=0.001&nonsense=1"
    with Broker(rabbitmq_url + query, seconds=PATIENT).connected() as connection:
        assert connection.connect_timeout == PATIENT
        assert connection.heartbeat == 0


# TLS


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, folder: Path) -> Path:
    path = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def _tls_broker(ca: trustme.CA, ca_file: Path, folder: Path) -> Iterator[RabbitBroker]:
    """A broker with a certificate for localhost only."""
    if find_broker_binaries() is None:
        pytest.skip(f"{NO_BROKER}: apt-get install rabbitmq-server")
    issued = ca.issue_cert("localhost")
    certificate, key = folder / "broker.pem", folder / "broker.key"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    with RabbitBroker(Tls(ca_file, certificate, key)) as broker:
        yield broker


@pytest.fixture
def tls_broker(_tls_broker: RabbitBroker) -> RabbitBroker:
    _tls_broker.forget([SUBSCRIBER_QUEUE], [])
    return _tls_broker


def tls_url(broker: RabbitBroker, host: str = "localhost", password: str = PASSWORD) -> str:
    return f"amqps://guest:{password}@{host}:{broker.tls_port}/"


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_a_broker_accepts_messages_if_a_file_contains_its_ca(
    tls_broker: RabbitBroker, ca_file: Path
) -> None:
    subscriber = EventSubscriber(tls_broker.url())
    broker = Broker(tls_url(tls_broker), ca_file, PATIENT)
    with publisher_to(broker) as publisher:
        publisher.publish([note(number) for number in range(100)])

    assert len(subscriber.listen()) == 100


def test_a_broker_whose_ca_the_machine_trusts_needs_no_file(
    tls_broker: RabbitBroker, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenSSL reads the CAs of the machine from here.
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    with Broker(tls_url(tls_broker), seconds=PATIENT).connected() as connection:
        assert connection.connected


def test_an_untrusted_ca_is_reported_with_the_fix(tls_broker: RabbitBroker, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))

    assert trouble_at(tls_url(tls_broker)) == NOT_TRUSTED
    assert trouble_at(tls_url(tls_broker), other) == NOT_TRUSTED


def test_a_certificate_for_another_name_is_reported(
    tls_broker: RabbitBroker, ca_file: Path
) -> None:
    assert trouble_at(tls_url(tls_broker, "127.0.0.1"), ca_file) == OTHER_NAME


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["other.example"], "127.0.0.1"),
        (["other.example"], "localhost"),
        (["127.0.0.1"], "localhost"),
        (["*.localhost"], "localhost"),
    ],
)
def test_no_other_name_is_accepted(
    ca: trustme.CA, ca_file: Path, names: list[str], host: str
) -> None:
    with port(showing(context_of(ca.issue_cert(*names)))) as here:
        assert trouble_at(url_at(here, host=host, scheme="amqps"), ca_file) == OTHER_NAME


@pytest.mark.parametrize("days", [-1, 2])
def test_a_certificate_that_is_not_valid_now_is_reported(
    ca: trustme.CA, ca_file: Path, days: int
) -> None:
    noon = datetime.now(UTC) + timedelta(days=days)
    certificate = ca.issue_cert(
        "127.0.0.1", not_before=noon - timedelta(hours=12), not_after=noon + timedelta(hours=12)
    )
    with port(showing(context_of(certificate))) as here:
        assert trouble_at(url_at(here, scheme="amqps"), ca_file) == NOT_VALID_NOW


def test_a_broker_that_requires_a_client_certificate_is_reported(
    ca: trustme.CA, ca_file: Path
) -> None:
    context = context_of(ca.issue_cert("127.0.0.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    # With TLS 1.3 the refusal comes after the handshake, and the connection may be closed by then.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with port(showing(context)) as here:
        assert trouble_at(url_at(here, scheme="amqps"), ca_file) == (
            "refuses TLS with this machine: see the broker's log; it must not require a client"
            " certificate."
        )


def test_a_broker_that_closes_after_the_handshake_is_reported(
    ca: trustme.CA, ca_file: Path
) -> None:
    with port(showing(context_of(ca.issue_cert("127.0.0.1")))) as here:
        assert trouble_at(url_at(here, scheme="amqps"), ca_file) == CLOSES


def test_the_port_without_tls_is_not_for_amqps(tls_broker: RabbitBroker, ca_file: Path) -> None:
    url = url_at(port_of(tls_broker), host="localhost", scheme="amqps")

    assert trouble_at(url, ca_file) == NO_TLS


def test_the_port_with_tls_is_for_amqps_only(tls_broker: RabbitBroker) -> None:
    assert trouble_at(url_at(tls_broker.tls_port)) == CLOSES


def test_a_wrong_password_is_reported_over_tls_too(tls_broker: RabbitBroker, ca_file: Path) -> None:
    url = tls_url(tls_broker, password=SECRET)

    assert trouble_at(url, ca_file) == "refuses this user or password."


def test_the_wait_for_a_frozen_broker_with_tls_is_limited(
    tls_broker: RabbitBroker, ca_file: Path
) -> None:
    broker = Broker(tls_url(tls_broker), ca_file, seconds=1.0)
    with publisher_to(broker) as publisher:
        eventually_publish(publisher)
        tls_broker.freeze()
        try:
            message = [
                trouble_with(broker),
                trouble_with(broker, lambda: publisher.publish([note(must_arrive=False)])),
            ]
        finally:
            tls_broker.thaw()
        eventually_publish(publisher)

    assert message == [NO_ANSWER] * 2


def test_a_connection_with_tls_is_discarded_without_waiting_for_the_broker(
    tls_broker: RabbitBroker, ca_file: Path
) -> None:
    connection = Broker(tls_url(tls_broker), ca_file, PATIENT).connect()
    tls_broker.freeze()
    try:
        begin = time.monotonic()
        connection.collect()
        took = time.monotonic() - begin
    finally:
        tls_broker.thaw()

    assert took < PATIENT / 2


def test_an_unreadable_ca_file_is_reported(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(BrokerUnavailable) as caught:
            Publisher(Broker(url_at(5671, scheme="amqps"), path)).publish([note()])

        assert str(caught.value) == (
            f"RABBITMQ_CA_CERT_PATH {path} cannot be read: set it to the file of the CA that"
            " issued the broker's certificate."
        )


def test_a_ca_file_without_a_certificate_is_reported(ca: trustme.CA, tmp_path: Path) -> None:
    contents = {
        "empty": b"",
        "text": b"no certificate",
        "key": ca.private_key_pem.bytes(),
        "binary": ssl.PEM_cert_to_DER_cert(ca.cert_pem.bytes().decode()),
        "broken": b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(BrokerUnavailable) as caught:
            Publisher(Broker(url_at(5671, scheme="amqps"), path)).publish([note()])

        assert str(caught.value) == (
            f"RABBITMQ_CA_CERT_PATH {path} holds no PEM certificate: set it to the file of the CA"
            " that issued the broker's certificate."
        )


def test_without_tls_no_ca_file_is_read(rabbitmq_url: str, tmp_path: Path) -> None:
    with Broker(rabbitmq_url, tmp_path / "missing.pem", PATIENT).connected() as connection:
        assert connection.connected
