from enum import StrEnum


class HostState(StrEnum):
    """The phase that a host manager is in, from its start to its end."""

    DETECTING = "detecting"
    REGISTERING = "registering"
    RUNNING = "running"
    LEAVING = "leaving"
