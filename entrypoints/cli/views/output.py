"""All output goes through here, so that no data from the wire reaches a terminal unescaped.

Names, reasons and error messages are written by hosts, operators and other programs. A control
character in one of them could move the cursor, hide a line or reverse the direction of the text.
"""

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console


def printable(text: str) -> str:
    r"""The text with each character that a terminal would obey written as an escape, such as \x1b.

    That covers control characters, line breaks, zero-width characters, those that change the
    direction of text, and lone surrogates. All other characters stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def print_lines(*lines: str, err: bool = False) -> None:
    """Print each text as one line; a line break within one is escaped too."""
    # By print, because click.echo would bypass the stream that a progress bar puts in this place.
    print("\n".join(map(printable, lines)), file=sys.stderr if err else sys.stdout, flush=True)


def confirm(question: str, *, err: bool = False) -> None:
    """Ask for a yes. Raises click.Abort (exit code 1) otherwise."""
    click.confirm(printable(question), abort=True, err=err)


def as_json(value: Any, indent: int | None = 2) -> str:
    """JSON in which no character is one that a terminal would obey."""
    return _escape_json(json.dumps(value, indent=indent, ensure_ascii=False))


def print_document(document: str) -> None:
    """Print a JSON document byte for byte; on a terminal with escapes that mean the same."""
    click.echo(_escape_json(document) if sys.stdout.isatty() else document, nl=False)


def _escape_json(text: str) -> str:
    # In JSON such a character, apart from white space, can only be part of a string. An escape
    # there means the same.
    return re.sub(r"[^\n\r\t -~]", lambda match: _json_escape(match[0]), text)


def _json_escape(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1]


def console(*, err: bool = False) -> "Console":
    """A rich console that writes data as it is: no markup, no emoji codes, no highlighting."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(
        file=stream,
        # Environment variables such as FORCE_COLOR must not put styles into a pipe.
        force_terminal=stream.isatty(),
        markup=False,
        emoji=False,
        highlight=False,
    )
