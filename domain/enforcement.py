"""Rules that can be tried out before they are enforced."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Switch(StrEnum):
    """A kind of call that can be refused because of who makes it."""

    # Another machine claims the name of a server whose host is alive.
    NAME_CONFLICT = "name-conflict"
    # A heartbeat comes from a process that a later one has replaced.
    EPOCH = "epoch"
    # A server that is not approved yet fetches configuration or is sent commands.
    APPROVAL = "approval"
    # A rejected server or a banned machine registers or sends a heartbeat.
    BAN = "ban"
    # A server that is online is deleted without force.
    DELETE_ONLINE = "delete-online"
    # A heartbeat does not present the credential of its server.
    CREDENTIAL = "credential"
    # A call for a server does not present its certificate.
    CERTIFICATE = "certificate"


class Mode(StrEnum):
    # Not checked at all.
    OFF = "off"
    # Let through, and listed as a dry-run refusal.
    WARN = "warn"
    ENFORCE = "enforce"


# Off, because a client that knows only the fields of the specification has neither.
_DEFAULT_MODES = {Switch.CREDENTIAL: Mode.OFF, Switch.CERTIFICATE: Mode.OFF}


@dataclass(frozen=True, slots=True)
class Enforcement:
    """The mode of each switch. A switch that `modes` does not name has its default mode."""

    modes: Mapping[Switch, Mode] = field(default_factory=dict)

    def of(self, switch: Switch) -> Mode:
        return self.modes.get(switch, _DEFAULT_MODES.get(switch, Mode.ENFORCE))

    def __str__(self) -> str:
        return ",".join(f"{switch}={mode}" for switch, mode in self.modes.items())


ENFORCE_ALL = Enforcement()
