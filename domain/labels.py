"""Labels that hosts and operators put on servers, and selectors that match them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

from domain.errors import InvalidField

MAX_LABELS = 64
MAX_REQUIREMENTS = 20
# In characters of the canonical text.
MAX_SELECTOR_LENGTH = 500
SELECTOR_EXAMPLE = "region=nyc,tier!=gold,zone in (a, b),gpu,!old"

_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
# How many characters an error quotes of a selector that cannot be read.
_MAX_QUOTED = 20


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels that the host reports, and those that operators set, which take precedence."""

    of_host: Mapping[str, str] = field(default_factory=dict)
    of_operators: Mapping[str, str] = field(default_factory=dict)

    @property
    def effective(self) -> Mapping[str, str]:
        return {**self.of_host, **self.of_operators}


NO_LABELS = Labels()


def check_labels(labels: Mapping[str, str], field_name: str = "labels") -> None:
    """Raise InvalidField unless keys and values follow the rules of Kubernetes.

    That is 1 to 63 (in a value 0 to 63) letters, digits, dots, dashes and underscores, in a key
    also slashes, with a letter or digit at both ends.
    """
    if len(labels) > MAX_LABELS:
        raise InvalidField(field_name, f"has {len(labels)} labels; the maximum is {MAX_LABELS}")
    for key, value in labels.items():
        if not _KEY.fullmatch(key):
            raise InvalidField(
                field_name,
                f"has the key {key!r}: it must be 1 to 63 letters, digits, dots, dashes,"
                " underscores and slashes, with a letter or digit at both ends",
            )
        if not _VALUE.fullmatch(value):
            raise InvalidField(
                field_name,
                f"has the value {value!r} of {key}: it must be up to 63 letters, digits, dots,"
                " dashes and underscores, with a letter or digit at both ends",
            )


class Operator(StrEnum):
    EQUALS = "="
    DIFFERS = "!="
    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A condition on one label. A server without the label meets DIFFERS, NOT_IN and ABSENT."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.ABSENT:
                return f"!{self.key}"
            case Operator.EQUALS | Operator.DIFFERS:
                return f"{self.key}{self.operator}{self.values[0]}"
            case Operator.IN | Operator.NOT_IN:
                return f"{self.key} {self.operator} ({','.join(self.values)})"

    def meets(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None
            case Operator.EQUALS | Operator.IN:
                return value in self.values
            case Operator.DIFFERS | Operator.NOT_IN:
                return value not in self.values


@dataclass(frozen=True, slots=True)
class Selector:
    """Selects the servers that meet every requirement. Made by `parse_selector`.

    `str()` gives its canonical text: equal selectors have the same text, and the text parses to an
    equal selector.
    """

    requirements: tuple[Requirement, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    @property
    def specificity(self) -> int:
        """The number of requirements."""
        return len(self.requirements)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.meets(labels) for requirement in self.requirements)


def parse_selector(text: str, field_name: str = "selector") -> Selector:
    """Parse a text such as SELECTOR_EXAMPLE; spaces are ignored. Raises InvalidField."""
    reader = _Reader(text, field_name)
    requirements = {_requirement(reader)}
    while not reader.at_end:
        reader.take(",", "a comma")
        requirements.add(_requirement(reader))
        if len(requirements) > MAX_REQUIREMENTS:
            raise InvalidField(
                field_name, f"has more than {MAX_REQUIREMENTS} requirements: use `in` and `notin`"
            )
    in_order = sorted(requirements, key=lambda one: (one.key, one.operator, one.values))
    selector = Selector(tuple(in_order))
    length = len(str(selector))
    if length > MAX_SELECTOR_LENGTH:
        raise InvalidField(
            field_name, f"has {length} characters; the maximum is {MAX_SELECTOR_LENGTH}"
        )
    return selector


def _requirement(reader: "_Reader") -> Requirement:
    if reader.skip("!"):
        return Requirement(reader.key(), Operator.ABSENT)
    key = reader.key()
    if reader.skip("!="):
        return Requirement(key, Operator.DIFFERS, (reader.value(),))
    if reader.skip("==") or reader.skip("="):
        return Requirement(key, Operator.EQUALS, (reader.value(),))
    if reader.skip("in"):
        return _of_set(key, Operator.IN, Operator.EQUALS, reader)
    if reader.skip("notin"):
        return _of_set(key, Operator.NOT_IN, Operator.DIFFERS, reader)
    return Requirement(key, Operator.EXISTS)


def _of_set(key: str, of_many: Operator, of_one: Operator, reader: "_Reader") -> Requirement:
    reader.take("(", "values in parentheses")
    values = {reader.value()}
    while not reader.skip(")"):
        reader.take(",", "a comma or closing parenthesis")
        values.add(reader.value())
    return Requirement(key, of_many if len(values) > 1 else of_one, tuple(sorted(values)))


_TOKEN = re.compile(r"\s*(!=|==|[=!,()]|[A-Za-z0-9._/-]+)")


class _Reader:
    """Reads the text of a selector token by token."""

    def __init__(self, text: str, field_name: str) -> None:
        self._text = text.rstrip()
        self._field_name = field_name
        self._place = 0

    @property
    def at_end(self) -> bool:
        return self._place == len(self._text)

    def skip(self, token: str) -> bool:
        """Consume the token if it comes next; return whether it did."""
        matched = _TOKEN.match(self._text, self._place)
        if not matched or matched[1] != token:
            return False
        self._place = matched.end()
        return True

    def take(self, token: str, expected: str) -> None:
        if not self.skip(token):
            self._refuse(expected)

    def key(self) -> str:
        matched = _TOKEN.match(self._text, self._place)
        if not matched or not _KEY.fullmatch(matched[1]):
            self._refuse("the key of a label")
        self._place = matched.end()
        return matched[1]

    def value(self) -> str:
        """A value may be empty; then the next token is not consumed."""
        matched = _TOKEN.match(self._text, self._place)
        if not matched or matched[1] in ("!=", "==", *"=!,()"):
            return ""
        if not _VALUE.fullmatch(matched[1]):
            self._refuse("the value of a label")
        self._place = matched.end()
        return matched[1]

    def _refuse(self, expected: str) -> NoReturn:
        rest = self._text[self._place :].lstrip()
        place = (
            f"character {len(self._text) - len(rest) + 1}, {rest[:_MAX_QUOTED]!r}"
            if rest
            else "its end"
        )
        raise InvalidField(
            self._field_name,
            f"cannot be read at {place}: expected {expected} (example: {SELECTOR_EXAMPLE})",
        )
