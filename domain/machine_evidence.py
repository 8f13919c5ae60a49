"""Which machine, and which process on it, claims a name: decided by evidence.

No single identifier is trusted. Machine-ids and Docker engine IDs are stored on the disk and are
cloned with it (moby#13278); boards of one series may share a hardware id; a virtual machine that
was copied while it ran shares the boot id. So there are three sources, the disk, the board and the
running kernel, and two of them must agree before a machine is recognised.
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
    """Digests of 32 hexadecimal digits; empty where the host could not read the identifier.

    `instance_id` is random and new for each start of a host manager.
    """

    machine_id: str = ""
    hardware_id: str = ""
    engine_id: str = ""
    boot_id: str = ""
    instance_id: str = ""

    def __bool__(self) -> bool:
        """Whether there is any evidence of the machine. The `instance_id` does not count."""
        return bool(self.machine_id or self.hardware_id or self.engine_id or self.boot_id)


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True)
class Identity:
    """The machine and process that registered a server last.

    `machine` is the same number for all servers of one machine, 0 if unknown. `address` is the
    address it registered from, as the API saw it.
    """

    evidence: Evidence = NO_EVIDENCE
    machine: int = 0
    address: str = ""
    registered_at: datetime | None = None


UNKNOWN_IDENTITY = Identity()

# The names of the identifiers in texts for people.
KINDS = {
    "machine_id": "machine-id",
    "hardware_id": "hardware id",
    "engine_id": "Docker engine ID",
    "boot_id": "boot id",
}


def check_evidence(evidence: Evidence) -> None:
    """Raise InvalidField, with the path of the field, for a value that is not a digest."""
    for field in fields(evidence):
        digest: str = getattr(evidence, field.name)
        if digest and (len(digest) != _DIGEST_LENGTH or not _HEXADECIMAL.issuperset(digest)):
            raise InvalidField(
                f"evidence.{field.name}", f"must be {_DIGEST_LENGTH} hexadecimal digits, or empty"
            )


class Match(StrEnum):
    SAME_PROCESS = "same process"
    SAME_MACHINE = "same machine"
    # A clone of the disk or a restart; or a board with the same id or a reinstallation.
    UNCLEAR = "unclear"
    OTHER_MACHINE = "other machine"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two sets of evidence match, and the fields that agree and differ."""

    match: Match
    agreeing: tuple[str, ...]
    differing: tuple[str, ...]

    @property
    def same_machine(self) -> bool:
        return self.match in (Match.SAME_PROCESS, Match.SAME_MACHINE)


def compare(known: Evidence, claimed: Evidence) -> Comparison:
    """Whether both describe one machine. The order of the two does not matter."""
    agreeing = _kinds(known, claimed, lambda one, other: one == other)
    differing = _kinds(known, claimed, lambda one, other: one != other)
    return Comparison(_match(known, claimed, set(agreeing), set(differing)), agreeing, differing)


def _kinds(
    known: Evidence, claimed: Evidence, matches: Callable[[str, str], bool]
) -> tuple[str, ...]:
    pairs = ((kind, getattr(known, kind), getattr(claimed, kind)) for kind in KINDS)
    return tuple(kind for kind, one, other in pairs if one and other and matches(one, other))


def _match(known: Evidence, claimed: Evidence, agreeing: set[str], differing: set[str]) -> Match:
    disk = {"machine_id", "engine_id"}
    # One identifier of the disk is enough: Docker or the machine-id alone may have been reset.
    same_disk = bool(agreeing & disk)
    other_disk = bool(differing & disk) and not same_disk
    same_board, other_board = "hardware_id" in agreeing, "hardware_id" in differing
    # A different boot id means only that a machine was restarted.
    same_kernel = "boot_id" in agreeing
    sources = same_disk + same_board + same_kernel
    same_instance = bool(known.instance_id) and known.instance_id == claimed.instance_id
    if other_board:
        return Match.UNCLEAR if same_kernel else Match.OTHER_MACHINE
    if sources >= 2:
        return Match.SAME_PROCESS if same_instance else Match.SAME_MACHINE
    # A process that can read nothing but the boot id must be recognised when it registers again.
    if same_instance and same_kernel and not differing:
        return Match.SAME_PROCESS
    if other_disk and not sources:
        return Match.OTHER_MACHINE
    return Match.UNCLEAR


class NamePolicy(StrEnum):
    """What to do when another machine claims the name of a server whose host is alive."""

    # Refuse the claim; an operator can resolve the conflict.
    REJECT = "reject"
    # Give the server to the new machine, and tell the old host to stop.
    TAKEOVER = "takeover"
    # The plain rule of the specification: any host that uses the name gets the server.
    ALLOW = "allow"


class Claim(StrEnum):
    """The kind of a registration under a name that already has a server."""

    # There is no evidence to compare, so the name alone decides, as the specification says.
    BY_NAME = "by name"
    # The machine already has the server.
    OWN = "own"
    # It is or may be another machine, and the host of the server is silent.
    SUCCESSION = "succession"
    # It is or may be another machine, and the host of the server is alive.
    CONTEST = "contest"


def classify_claim(
    known: Evidence, claimed: Evidence, comparison: Comparison, *, holder_is_alive: bool
) -> Claim:
    """Classify a claim to a name; `known` is the evidence of the last holder of the name."""
    if not known or not claimed:
        return Claim.BY_NAME
    if comparison.same_machine:
        return Claim.OWN
    return Claim.CONTEST if holder_is_alive else Claim.SUCCESSION


def same_claimant(before: Evidence, claimed: Evidence) -> bool:
    """Whether the machine that claimed a name before probably claims it again."""
    comparison = compare(before, claimed)
    return comparison.same_machine or bool(comparison.agreeing and not comparison.differing)


def matches_ban(banned: Evidence, claimed: Evidence) -> bool:
    """Whether the evidence is or may be that of a banned machine.

    A restart does not lift a ban, and neither does a copy of the disk, unless the board is known
    to be a different one.
    """
    comparison = compare(banned, claimed)
    return comparison.match is not Match.OTHER_MACHINE and bool(comparison.agreeing)


def kinds_in_words(kinds: tuple[str, ...]) -> str:
    """For example "machine-id and boot id"."""
    names = [KINDS[kind] for kind in kinds]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
