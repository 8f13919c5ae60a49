"""The exchanges and queues, declared here and nowhere else: a broker takes no two versions.

All are durable. Queues that several processes share are quorum queues, the only kind that
survives the loss of a node and is still offered by RabbitMQ 4.
"""

from typing import Any

from kombu import Exchange, Queue, binding

MANMAN = Exchange("manman", type="topic", durable=True)
EXTERNAL = Exchange("external", type="topic", durable=True)
DEAD_LETTERS = Exchange("manman.dead-letters", type="fanout", durable=True)

# Host to control plane.
STATUS = "status.host"
HEALTH = "health.host"
REGISTER = "register.host"
DEREGISTER = "deregister.host"
CONFIGURATION = "configuration.host"
# Control plane to host.
COMMAND = "command.host"
# To the outside.
EVENT = "manman.host"

_DAY_MS = 24 * 3600 * 1000

# One consumer at a time: with two, a host's last word could be written before the one before it.
REPORTS = Queue(
    "manman.reports",
    bindings=[binding(MANMAN, routing_key=f"{kind}.*") for kind in (STATUS, HEALTH)],
    queue_arguments={"x-queue-type": "quorum", "x-single-active-consumer": True},
)
CALLS = Queue(
    "manman.calls",
    bindings=[
        binding(MANMAN, routing_key=REGISTER),
        *(binding(MANMAN, routing_key=f"{kind}.*") for kind in (CONFIGURATION, DEREGISTER)),
    ],
    queue_arguments={"x-queue-type": "quorum"},
)
# Bounded, because who sends nonsense mostly does not stop.
DEAD_LETTER_QUEUE = Queue(
    "manman.dead-letters",
    DEAD_LETTERS,
    queue_arguments={
        "x-queue-type": "quorum",
        "x-max-length": 10_000,
        "x-max-length-bytes": 256 * 1024 * 1024,
        "x-message-ttl": 7 * _DAY_MS,
    },
)


def declare_exchanges(channel: Any) -> None:
    """What whoever publishes needs."""
    for exchange in (MANMAN, EXTERNAL):
        exchange(channel).declare()
    DEAD_LETTER_QUEUE(channel).declare()


def command_queue(server_id: int) -> Queue:
    """A host's own, gone when the host stayed away for a week."""
    return Queue(
        f"host-{server_id}-commands",
        MANMAN,
        routing_key=f"{COMMAND}.{server_id}.#",
        queue_arguments={"x-expires": 7 * _DAY_MS},
    )
