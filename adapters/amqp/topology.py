"""The exchanges and queues. Only this module declares them: a broker rejects a second version.

All are durable. Queues that several processes share are quorum queues, the only kind that survives
the loss of a node and that RabbitMQ 4 still offers.
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

# One consumer at a time: with two, an older message of a host could be written after a newer one.
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
# Bounded, because a client that sends invalid messages usually does not stop.
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
    """Declare what a publisher needs."""
    for exchange in (MANMAN, EXTERNAL):
        exchange(channel).declare()
    DEAD_LETTER_QUEUE(channel).declare()


def command_queue(server_id: int) -> Queue:
    """The queue of one host. The broker deletes it if the host is away for a week."""
    return Queue(
        f"host-{server_id}-commands",
        MANMAN,
        routing_key=f"{COMMAND}.{server_id}.#",
        queue_arguments={"x-expires": 7 * _DAY_MS},
    )
