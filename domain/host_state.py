from enum import StrEnum


class HostState(StrEnum):
    """What a host manager is at, from its start to its end."""

    DETECTING = "detecting"
    REGISTERING = "registering"
    RUNNING = "running"
    LEAVING = "leaving"
