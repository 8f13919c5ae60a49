"""The settings of a command, as its dataclass declares them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import get_args, get_type_hints

from entrypoints.settings import Secret, Settings


@dataclass(frozen=True)
class DeclaredSetting:
    """`default` is empty for none; `old_names` are deprecated variables; `files` are variables
    that name a file with the value."""

    variable: str
    default: str
    description: str
    other_variables: tuple[str, ...]
    old_names: tuple[str, ...]
    files: tuple[str, ...]
    secret: bool


def declared_settings(settings: type[Settings]) -> Iterator[DeclaredSetting]:
    types = get_type_hints(settings)
    for found in fields(settings):
        variable = found.name.upper()
        yield DeclaredSetting(
            variable,
            found.metadata["show"](found.default),
            found.metadata["description"],
            found.metadata["aliases"],
            found.metadata["old_names"],
            (f"{variable}_FILE",) if found.metadata["in_file"] else (),
            Secret in (types[found.name], *get_args(types[found.name])),
        )
