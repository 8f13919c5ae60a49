from enum import StrEnum
from typing import TypeVar

from domain.errors import InvalidField

Choice = TypeVar("Choice", bound=StrEnum)


def parse_choice(choices: type[Choice], field: str, text: str) -> Choice:
    """Raises InvalidField for a text that is not one of the choices."""
    try:
        return choices(text)
    except ValueError:
        raise InvalidField(field, f"must be one of {', '.join(choices)}") from None
