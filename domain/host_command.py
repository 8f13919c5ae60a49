from enum import StrEnum


class HostCommand(StrEnum):
    """What a host can be asked to do before its next heartbeat is due."""

    # Fetch its configuration.
    CONFIG = "config"
    # Report what its machine can do.
    REPORT = "report"
