"""Manual pages in the macros of man(7)."""

import re
from collections.abc import Iterable
from textwrap import wrap

_ESCAPES = {
    "\\": r"\e",
    # As it is typed, not as the signs that printed text has in their places.
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    '"': r"\(dq",
}


def escaped(text: str) -> str:
    text = "".join(_ESCAPES.get(sign, sign) for sign in text)
    text = re.sub(r"[^\x00-\x7f]", lambda found: rf"\[u{ord(found[0]):04X}]", text)
    # At the beginning of a line it would be a request.
    return rf"\&{text}" if text.startswith(".") else text


def bold(text: str) -> str:
    return rf"\fB{escaped(text)}\fR"


def title(name: str, source: str, manual: str) -> list[str]:
    return [f'.TH {escaped(name.upper())} 1 "" "{escaped(source)}" "{escaped(manual)}"']


def section(heading: str) -> list[str]:
    return [f'.SH "{escaped(heading.upper())}"']


def subsection(heading: str) -> list[str]:
    return [f'.SS "{escaped(heading)}"']


def paragraph(text: str) -> list[str]:
    return [".PP", *_wrapped(text)]


def verbatim(lines: Iterable[str]) -> list[str]:
    return [".PP", ".RS 4", ".nf", *map(escaped, lines), ".fi", ".RE"]


def item(term: str, *paragraphs: str) -> list[str]:
    """A term in bold, and what it means."""
    first, *others = map(_wrapped, paragraphs)
    return [".TP", bold(term), *first, *(line for text in others for line in (".br", *text))]


def page(lines: Iterable[str]) -> str:
    text = "\n".join(lines) + "\n"
    # A heading begins a paragraph by itself.
    return re.sub(r"(?m)^(\.S[HS] .*\n)\.PP\n", r"\1", text)


def _wrapped(text: str) -> list[str]:
    lines = wrap(" ".join(text.split()), 70, break_long_words=False, break_on_hyphens=False)
    return list(map(escaped, lines))
