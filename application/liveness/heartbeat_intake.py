from dataclasses import dataclass, field


@dataclass
class HeartbeatIntake:
    """Whether this API could write every heartbeat that it heard.

    One that could not be written is one that was not heard: its host must not be called silent.
    Neither must one that speaks over a way that is cut off, a message broker that is away.
    """

    # Batches that could not be written. It only grows, so that whoever looks misses none.
    failed_batches: int = 0
    # The ways over which it hears nobody now, as `via` of a presence names them.
    cut_off: set[str] = field(default_factory=set)

    def listens(self, way: str, listens: bool) -> None:
        """Whether hosts can be heard over this way from now on."""
        (self.cut_off.discard if listens else self.cut_off.add)(way)
