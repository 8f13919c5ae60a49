"""Rules that can be tried before they are enforced."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Switch(StrEnum):
    """What can be refused on grounds of identity."""

    # Another machine claims the name of one that is alive.
    NAME_CONFLICT = "name-conflict"
    # A heartbeat of a process that was replaced by a later one.
    EPOCH = "epoch"
    # A server that no operator has approved yet asks for configuration or gets commands.
    APPROVAL = "approval"
    # A rejected server, or a banned machine, registers or heartbeats.
    BAN = "ban"
    # A server that is online is deleted without force.
    DELETE_ONLINE = "delete-online"
    # A heartbeat that does not show the credential of its server.
    CREDENTIAL = "credential"
    # A server speaks without its certificate.
    CERTIFICATE = "certificate"


class Mode(StrEnum):
    # Not even looked at.
    OFF = "off"
    # Let through, and listed as what would be refused.
    WARN = "warn"
    ENFORCE = "enforce"


# A client that knows only the fields of the specification has neither.
_USUAL = {Switch.CREDENTIAL: Mode.OFF, Switch.CERTIFICATE: Mode.OFF}


@dataclass(frozen=True, slots=True)
class Enforcement:
    """The mode of each switch; one that is not named is in its usual mode."""

    modes: Mapping[Switch, Mode] = field(default_factory=dict)

    def of(self, switch: Switch) -> Mode:
        return self.modes.get(switch, _USUAL.get(switch, Mode.ENFORCE))

    def __str__(self) -> str:
        return ",".join(f"{switch}={mode}" for switch, mode in self.modes.items())


ENFORCE_ALL = Enforcement()
