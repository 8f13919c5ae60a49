from enum import StrEnum


class HostCommand(StrEnum):
    """What the API can ask a host to do before its next heartbeat is due."""

    # Fetch its configuration.
    CONFIG = "config"
    # Report the capabilities of its machine.
    REPORT = "report"
