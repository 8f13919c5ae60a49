"""Named JSON documents that hang on a server, or on a selector of servers."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from domain.errors import InvalidField
from domain.labels import Selector

MAX_DOCUMENT_BYTES = 256 * 1024

# A name becomes a file name on the host: no separators, no leading dot, one case.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A document as it was put: the text is kept to the byte.

    `revision` is the server's config_revision at that moment, or that of all servers which the
    `selector` selects; None: it hangs on one server.
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
    """What a host must know to follow: what changed, and the names of all that there is.

    `revision` is what the host knows with these changes. With `more`, it asks again from there,
    and knows nothing of it before it has the last of them.
    """

    changed: Sequence[Configuration]
    names: Sequence[str]
    revision: int
    more: bool


def effective(
    own: Iterable[ConfigurationSummary], of_selectors: Iterable[ConfigurationSummary]
) -> list[ConfigurationSummary]:
    """What a server gets, by name: of each name its own document, else that of the selector with
    the most requirements, and of several such selectors the one that was put last.

    All the selectors select the server.
    """
    weakest_first = sorted(of_selectors, key=_precedence)
    of_each_name = {found.name: found for found in (*weakest_first, *own)}
    return [found for _, found in sorted(of_each_name.items())]


def _precedence(found: ConfigurationSummary) -> tuple[int, int]:
    return found.selector.specificity if found.selector else 0, found.revision


def has_older_revision(
    before: Iterable[ConfigurationSummary],
    after: Iterable[ConfigurationSummary],
    known_revision: int,
) -> bool:
    """Whether a document came into effect that a host which knows that revision would not be
    sent, because it was put before."""
    return any(found.revision <= known_revision for found in set(after) - set(before))


def check_configuration_name(name: str) -> None:
    """Raise InvalidField unless the name is fit for a file name."""
    if not _NAME.fullmatch(name):
        raise InvalidField(
            "name",
            "must have 1 to 100 characters from a-z, 0-9, '.', '-' and '_', and begin with a letter"
            " or digit",
        )


def check_document(document: str) -> None:
    """Raise InvalidField unless this is JSON (RFC 8259) of at most MAX_DOCUMENT_BYTES in UTF-8."""
    size = len(document.encode())
    if size > MAX_DOCUMENT_BYTES:
        raise InvalidField("document", f"has {size} bytes; the maximum is {MAX_DOCUMENT_BYTES}")
    try:
        # Numbers stay text: whether they fit into one of Python's is not the question.
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
