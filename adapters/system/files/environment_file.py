import re
from collections.abc import Mapping

# A line that begins with # or ; is a comment. A value consists of any number of quoted parts and
# then an unquoted one: quotes count at the beginning only, and an unclosed quote extends to the
# end.
_LINE = re.compile(
    r"""
    [ \t\r]* (?: [#;][^\n]*
               | (?P<name>[^=\n]*) =
                 (?P<quoted> (?: [ \t\r]* (?: '[^']*(?:'|\Z) | "(?:[^"\\]|\\.)*(?:"|\\?\Z) ) )* )
                 [ \t\r]*
                 (?P<bare> (?: [^\\\n] | \\. )* ) \\?
               | [^=\n]*
             ) (?: \n | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_PARTS = re.compile(r"""'(?P<single>[^']*)'?|"(?P<double>(?:[^"\\]|\\.)*)["\\]?""", re.DOTALL)
_BARE = re.compile(r"\\\n|\\(?P<escaped>.)|(?P<blanks>[ \t\r]+\Z)", re.DOTALL)


def parse_environment_file(text: str) -> Mapping[str, str]:
    """The variables as systemd reads them from an EnvironmentFile (systemd.exec(5)).

    If a name occurs twice, the last one counts.
    """
    variables = {}
    for line in _LINE.finditer(text):
        name = (line["name"] or "").strip()
        if name:
            variables[name] = _quoted(line["quoted"]) + _bare(line["bare"])
    return variables


def _quoted(parts: str) -> str:
    return "".join(
        # Between double quotes a backslash escapes only special characters, or continues a line.
        re.sub(r'\\(?:(["\\`$])|\n)', lambda escape: escape[1] or "", part["double"])
        if part["single"] is None
        else part["single"]
        for part in _PARTS.finditer(parts)
    )


def _bare(text: str) -> str:
    return _BARE.sub(lambda match: match["escaped"] or "", text)
