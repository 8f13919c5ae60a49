"""The load over AMQP: all heartbeats are in the queue when the server starts to consume."""

import time
from collections.abc import Callable

import pika

from tests.benchmarks.load import Load
from tests.benchmarks.server_process import ServerProcess

_TIMEOUT_SECONDS = 120
_ANSWERS = "amq.rabbitmq.reply-to"

RunLoad = Callable[[ServerProcess, list[int], int], Load]


def load_over_amqp(url: str) -> RunLoad:
    """Each host sends as many heartbeats as over gRPC, in turn. Only the last one asks for an
    answer, which arrives after all others are written."""

    def run(server: ServerProcess, server_ids: list[int], heartbeats_per_host: int) -> Load:
        used_before = time.process_time()
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        answers: list[bytes] = []
        channel.basic_consume(
            _ANSWERS, lambda *delivery: answers.append(delivery[-1]), auto_ack=True
        )
        with server.paused():
            for _ in range(heartbeats_per_host):
                for server_id in server_ids:
                    channel.basic_publish(
                        "manman", f"health.host.{server_id}", b'{"server_id":%d}' % server_id
                    )
            last = server_ids[-1]
            channel.basic_publish(
                "manman",
                f"health.host.{last}",
                b'{"server_id":%d}' % last,
                pika.BasicProperties(reply_to=_ANSWERS),
            )
            # Wait until the broker has all of them, so that the server finds all at once.
            connection.process_data_events(time_limit=1)
        began = time.monotonic()
        while not answers:
            connection.process_data_events(time_limit=0.1)
            if time.monotonic() > began + _TIMEOUT_SECONDS:
                raise RuntimeError("the API did not answer the last heartbeat over AMQP")
        ended = time.monotonic()
        connection.close()
        heartbeats = len(server_ids) * heartbeats_per_host + 1
        return Load(
            heartbeats=heartbeats,
            per_second=heartbeats / (ended - began),
            latencies_ms=[],
            generator_cpu_seconds=time.process_time() - used_before,
        )

    return run
