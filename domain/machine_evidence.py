"""Which machine, and which process on it, claims a name: decided by evidence.

No identifier is trusted alone. Machine-ids and Docker engine IDs lie on the disk and are cloned
with it (moby#13278); boards of one series may share a hardware id; a virtual machine that was
copied while it ran shares the boot id. So there are three witnesses, the disk, the board and the
running kernel, and it takes two of them to recognise a machine.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from domain.errors import InvalidField

_DIGEST_LENGTH = 32
_HEXADECIMAL = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Digests of 32 hexadecimal digits, empty where the host could not read what is behind.

    `instance_id` is random and another one for each start of a host manager.
    """

    machine_id: str = ""
    hardware_id: str = ""
    engine_id: str = ""
    boot_id: str = ""
    instance_id: str = ""

    def __bool__(self) -> bool:
        """Whether there is any evidence of a machine."""
        return bool(self.machine_id or self.hardware_id or self.engine_id or self.boot_id)


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who registered a server last.

    `machine` is the same number for all servers of one machine, 0 when that is not known;
    `address` is from where, as the API saw it.
    """

    evidence: Evidence = NO_EVIDENCE
    machine: int = 0
    address: str = ""
    registered_at: datetime | None = None


UNKNOWN_IDENTITY = Identity()

# What evidence is called where people read of it.
KINDS = {
    "machine_id": "machine-id",
    "hardware_id": "hardware id",
    "engine_id": "Docker engine ID",
    "boot_id": "boot id",
}


def check_evidence(evidence: Evidence) -> None:
    """Raise InvalidField, with the path of the field, for what is no digest."""
    for field in fields(evidence):
        digest: str = getattr(evidence, field.name)
        if digest and (len(digest) != _DIGEST_LENGTH or not _HEXADECIMAL.issuperset(digest)):
            raise InvalidField(
                f"evidence.{field.name}", f"must be {_DIGEST_LENGTH} hexadecimal digits, or empty"
            )


class Match(StrEnum):
    SAME_PROCESS = "same process"
    SAME_MACHINE = "same machine"
    # A clone of its disk or a restart of it, a copy of its board or a new installation on it.
    UNCLEAR = "unclear"
    OTHER_MACHINE = "other machine"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdict on two sets of evidence, and the names of the fields on which it stands."""

    match: Match
    agreeing: tuple[str, ...]
    differing: tuple[str, ...]

    @property
    def same_machine(self) -> bool:
        return self.match in (Match.SAME_PROCESS, Match.SAME_MACHINE)


def compare(known: Evidence, given: Evidence) -> Comparison:
    """Whether the two are of one machine. It does not matter which of them came first."""
    agreeing = _kinds(known, given, lambda one, other: one == other)
    differing = _kinds(known, given, lambda one, other: one != other)
    return Comparison(_verdict(known, given, set(agreeing), set(differing)), agreeing, differing)


def _kinds(
    known: Evidence, given: Evidence, compare: Callable[[str, str], bool]
) -> tuple[str, ...]:
    pairs = ((kind, getattr(known, kind), getattr(given, kind)) for kind in KINDS)
    return tuple(kind for kind, one, other in pairs if one and other and compare(one, other))


def _verdict(known: Evidence, given: Evidence, agreeing: set[str], differing: set[str]) -> Match:
    disk = {"machine_id", "engine_id"}
    # A machine whose Docker was installed anew, or whose machine-id was, is not another one.
    same_disk = bool(agreeing & disk)
    other_disk = bool(differing & disk) and not same_disk
    same_board, other_board = "hardware_id" in agreeing, "hardware_id" in differing
    # Another boot says only that a machine was started again.
    same_kernel = "boot_id" in agreeing
    witnesses = same_disk + same_board + same_kernel
    same_instance = bool(known.instance_id) and known.instance_id == given.instance_id
    if other_board:
        return Match.UNCLEAR if same_kernel else Match.OTHER_MACHINE
    if witnesses >= 2:
        return Match.SAME_PROCESS if same_instance else Match.SAME_MACHINE
    # A process that can read nothing else, and registers again, must not be in its own way.
    if same_instance and same_kernel and not differing:
        return Match.SAME_PROCESS
    if other_disk and not witnesses:
        return Match.OTHER_MACHINE
    return Match.UNCLEAR


class NamePolicy(StrEnum):
    """What happens when another machine claims the name of one that is alive."""

    # The claim is refused, and an operator can settle it.
    REJECT = "reject"
    # The newcomer gets the server, and the holder is told to stop.
    TAKEOVER = "takeover"
    # The specification's plain rule: whoever knows the name gets the server.
    ALLOW = "allow"


class Claim(StrEnum):
    """What it means that somebody registers under a name that has a server."""

    # Nothing is known against it: the name alone decides, as the specification says.
    BY_NAME = "by name"
    # The machine that has the server already.
    OWN = "own"
    # Another one, or one of which it cannot be told, while the server's host is silent.
    SUCCESSION = "succession"
    # The same, while the server's host is alive.
    CONTEST = "contest"


def classify_claim(
    known: Evidence, given: Evidence, comparison: Comparison, *, holder_is_alive: bool
) -> Claim:
    """What the claim to a name is, by the evidence of its last holder and of who claims it."""
    if not known or not given:
        return Claim.BY_NAME
    if comparison.same_machine:
        return Claim.OWN
    return Claim.CONTEST if holder_is_alive else Claim.SUCCESSION


def same_claimant(before: Evidence, given: Evidence) -> bool:
    """Whether somebody who claimed a name before claims it again, as far as can be told."""
    comparison = compare(before, given)
    return comparison.same_machine or bool(comparison.agreeing and not comparison.differing)


def matches_ban(banned: Evidence, given: Evidence) -> bool:
    """Whether the evidence is of a banned machine, or may be: a restart is no way around a ban,
    nor is a copy of the disk, unless the board is known to be another one."""
    comparison = compare(banned, given)
    return comparison.match is not Match.OTHER_MACHINE and bool(comparison.agreeing)


def kinds_in_words(kinds: tuple[str, ...]) -> str:
    """As "machine-id and boot id"."""
    names = [KINDS[kind] for kind in kinds]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
