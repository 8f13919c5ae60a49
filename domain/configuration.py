"""Named JSON documents that are attached to a server or to a selector of servers."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from domain.errors import InvalidField
from domain.labels import Selector

MAX_DOCUMENT_BYTES = 256 * 1024

# A name becomes a file name on the host: no separators, no leading dot, lower case only.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A document as an operator put it: its text is stored byte for byte.

    `revision` is the config_revision of that change: of the server, or of every server that the
    `selector` selects. Without a `selector` the document is attached to one server.
    """

    name: str
    document: str
    revision: int
    updated_at: datetime
    selector: Selector | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationSummary:
    """A configuration without its document."""

    name: str
    revision: int
    updated_at: datetime
    selector: Selector | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationChanges:
    """What a host needs to be up to date: the changed documents, and the names of all documents.

    `revision` is what the host has once it has applied these changes. With `more`, the host fetches
    again from there, and must not count any of these changes as known before the last part.
    """

    changed: Sequence[Configuration]
    names: Sequence[str]
    revision: int
    more: bool


def effective(
    own: Iterable[ConfigurationSummary], from_selectors: Iterable[ConfigurationSummary]
) -> list[ConfigurationSummary]:
    """The documents that apply to a server, sorted by name.

    For each name this is the server's own document, or else that of the selector with the most
    requirements; of several such selectors, the one that was put last. All the selectors must
    select the server.
    """
    weakest_first = sorted(from_selectors, key=_precedence)
    by_name = {summary.name: summary for summary in (*weakest_first, *own)}
    return [summary for _, summary in sorted(by_name.items())]


def _precedence(summary: ConfigurationSummary) -> tuple[int, int]:
    return summary.selector.specificity if summary.selector else 0, summary.revision


def has_older_revision(
    before: Iterable[ConfigurationSummary],
    after: Iterable[ConfigurationSummary],
    known_revision: int,
) -> bool:
    """Whether a document came into effect that is not newer than `known_revision`: a host with
    that revision would not be sent it."""
    return any(summary.revision <= known_revision for summary in set(after) - set(before))


def check_configuration_name(name: str) -> None:
    """Raise InvalidField unless the name can be used as a file name."""
    if not _NAME.fullmatch(name):
        raise InvalidField(
            "name",
            "must have 1 to 100 characters from a-z, 0-9, '.', '-' and '_', and begin with a letter"
            " or digit",
        )


def check_document(document: str) -> None:
    """Raise InvalidField unless it is JSON (RFC 8259) of at most MAX_DOCUMENT_BYTES in UTF-8."""
    size = len(document.encode())
    if size > MAX_DOCUMENT_BYTES:
        raise InvalidField("document", f"has {size} bytes; the maximum is {MAX_DOCUMENT_BYTES}")
    try:
        # Numbers stay text, because they need not fit into a Python number.
        json.loads(document, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidField("document", f"is not valid JSON: see {place}") from None
    except (ValueError, RecursionError):
        raise InvalidField(
            "document", "is not valid JSON: it contains NaN or Infinity, or is nested too deeply"
        ) from None
    if "\x00" in document:
        raise InvalidField("document", "is not valid JSON: it contains a zero byte")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")
