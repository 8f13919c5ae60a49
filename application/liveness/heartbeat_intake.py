from dataclasses import dataclass, field


@dataclass
class HeartbeatIntake:
    """Whether this API received and wrote all heartbeats.

    A server whose heartbeat could not be written is not silent, nor is one whose transport is
    disconnected, for example while the message broker is away.
    """

    # Only grows, so that no reader misses a failure.
    failed_batches: int = 0
    # Transports that deliver nothing now, as named by `via` of a presence.
    disconnected_transports: set[str] = field(default_factory=set)

    def set_connected(self, transport: str, connected: bool) -> None:
        if connected:
            self.disconnected_transports.discard(transport)
        else:
            self.disconnected_transports.add(transport)
