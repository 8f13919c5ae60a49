"""How a host chooses its name, and which names are valid."""

from dataclasses import dataclass

from domain.errors import InvalidField

MAX_NAME_LENGTH = 255
MAX_ENVIRONMENT_LENGTH = 100


@dataclass(frozen=True, slots=True)
class ChosenName:
    """The name that a host registers under.

    An ephemeral name contains a generated suffix: unless it is saved, the next start of the host
    creates another server.
    """

    name: str
    ephemeral: bool


@dataclass(frozen=True, slots=True)
class SavedName:
    """The name of the last registration, and its environment."""

    chosen: ChosenName
    environment: str


def choose_name(
    server_name: str,
    hostname: str,
    environment: str,
    random_suffix: str,
    saved: SavedName | None = None,
) -> ChosenName:
    """Choose as the specification says: SERVER_NAME, else hostname-ENVIRONMENT, else
    hostname-suffix. Empty means not set.

    A saved name takes precedence over one generated from the hostname, unless ENVIRONMENT is now
    set to another value. Raises InvalidField if the resulting name is not valid.
    """
    if server_name:
        chosen = ChosenName(server_name, ephemeral=False)
    elif saved and environment in ("", saved.environment):
        chosen = saved.chosen
    elif environment:
        chosen = ChosenName(f"{hostname}-{environment}", ephemeral=False)
    else:
        chosen = ChosenName(f"{hostname}-{random_suffix}", ephemeral=True)
    check_name(chosen.name)
    return chosen


def check_name(name: str) -> None:
    """Raise InvalidField unless it has 1 to 255 printable characters, no space at the ends."""
    if not name:
        raise InvalidField("name", "is required")
    check_text("name", name, MAX_NAME_LENGTH)


def check_environment(environment: str) -> None:
    """Raise InvalidField unless it has at most 100 printable characters, no space at the ends."""
    check_text("environment", environment, MAX_ENVIRONMENT_LENGTH)


def check_text(field: str, text: str, max_length: int) -> None:
    """Raise InvalidField unless the text has at most `max_length` characters, all printable, and
    no space at the ends."""
    if len(text) > max_length:
        raise InvalidField(field, f"has {len(text)} characters; the maximum is {max_length}")
    if not text.isprintable():
        raise InvalidField(field, "contains a character that is not printable")
    if text != text.strip():
        raise InvalidField(field, "begins or ends with a space")
