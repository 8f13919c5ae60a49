"""How a host names itself, and what a name may be."""

from dataclasses import dataclass

from domain.errors import InvalidField

MAX_NAME_LENGTH = 255
MAX_ENVIRONMENT_LENGTH = 100


@dataclass(frozen=True, slots=True)
class ChosenName:
    """The name that a host registers under.

    An ephemeral name holds a random part: unless it is kept, the next start of the host makes
    another server of it.
    """

    name: str
    ephemeral: bool


@dataclass(frozen=True, slots=True)
class SavedName:
    """The name that a host had before, and in which environment."""

    chosen: ChosenName
    environment: str


def choose_name(
    server_name: str,
    hostname: str,
    environment: str,
    random_suffix: str,
    kept: SavedName | None = None,
) -> ChosenName:
    """Choose as the specification says: SERVER_NAME, else hostname-ENVIRONMENT, else
    hostname-suffix. Empty means not set.

    A name that was kept comes before what is made of the hostname, unless another ENVIRONMENT is
    set than it had. Raises InvalidField where the outcome is no valid name.
    """
    if server_name:
        chosen = ChosenName(server_name, ephemeral=False)
    elif kept and environment in ("", kept.environment):
        chosen = kept.chosen
    elif environment:
        chosen = ChosenName(f"{hostname}-{environment}", ephemeral=False)
    else:
        chosen = ChosenName(f"{hostname}-{random_suffix}", ephemeral=True)
    check_name(chosen.name)
    return chosen


def check_name(name: str) -> None:
    """Raise InvalidField unless it is 1 to 255 printable characters, no blanks at the ends."""
    if not name:
        raise InvalidField("name", "is required")
    check_text("name", name, MAX_NAME_LENGTH)


def check_environment(environment: str) -> None:
    """Raise InvalidField unless it is up to 100 printable characters, no blanks at the ends."""
    check_text("environment", environment, MAX_ENVIRONMENT_LENGTH)


def check_text(field: str, text: str, max_length: int) -> None:
    """Raise InvalidField unless it is so many printable characters at most, no blanks at the
    ends."""
    if len(text) > max_length:
        raise InvalidField(field, f"has {len(text)} characters; the maximum is {max_length}")
    if not text.isprintable():
        raise InvalidField(field, "contains a character that is not printable")
    if text != text.strip():
        raise InvalidField(field, "begins or ends with a space")
