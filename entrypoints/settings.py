"""Settings from environment variables, declared as the fields of a dataclass."""

import os
import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from adapters.system.files.key_file import read_keys
from application.ports.diagnosis import InvalidValue, diagnosis_of
from entrypoints import __version__
from entrypoints.failures import ConfigurationError

VERSION = __version__
# The commit that the version was built from; images set it.
COMMIT = os.environ.get("MANMANV2_COMMIT", "")
BUILD = f"{VERSION} ({COMMIT})" if COMMIT else VERSION

REGISTRATION_KEY_FILE = "REGISTRATION_KEY_FILE"


@dataclass(frozen=True)
class Secret:
    """Text that must not appear in a log, a traceback or a printed setting."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        return self._text


@dataclass(frozen=True)
class SecretsInFile(Secret):
    """The keys that a file held at the start: the first one, and the others. The file is read
    again while it is in use."""

    path: Path
    _others: Sequence[str] = field(repr=False)

    def reveal_all(self) -> Sequence[str]:
        return (self.reveal(), *self._others)


def secret(text: str) -> Secret:
    if not text.isprintable():
        raise ValueError("contains a character that cannot be printed, or bytes that are not UTF-8")
    return Secret(text)


def registration_keys_in(path: Path) -> SecretsInFile:
    try:
        first, *others = read_keys(path)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise InvalidValue.of(
            diagnosis_of(error).after(f"{REGISTRATION_KEY_FILE} names {path}, which ")
        ) from None
    return SecretsInFile(first, path, tuple(others))


def bearer_token(text: str) -> Secret:
    if not text.isascii():
        raise ValueError("must be ASCII, because it is sent in a header")
    return secret(text)


def _value_text(value: object) -> str:
    """A setting's value as text, without secrets."""
    if isinstance(value, Secret):
        return "(set, not shown)"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def setting(
    default: object,
    description: str,
    parse: Callable[[str], object] = str,
    *,
    aliases: tuple[str, ...] = (),
    old_names: tuple[str, ...] = (),
    in_file: bool = False,
    parse_file: Callable[[Path], object] | None = None,
    show: Callable[[Any], str] | None = None,
) -> Any:
    """A field that is read from the environment variable of its name in capitals.

    Of the variable and its `aliases`, the first one that is set counts. `old_names` are deprecated:
    each still works, with a warning at the start, but not together with the new name.

    `parse` turns the text into the value; its ValueError completes the sentence "NAME: …". `show`
    turns the value into a text without secrets. A secret, or a setting with `in_file`, may also
    come from the file that NAME_FILE names: `parse_file` reads that file; without it, the file
    holds what the variable would hold.
    """
    metadata = {
        "description": description,
        "parse": parse,
        "aliases": aliases,
        "old_names": old_names,
        "in_file": in_file or parse in (secret, bearer_token),
        "parse_file": parse_file,
        "show": show or _value_text,
    }
    return field(default=default, metadata=metadata)


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def url_without_secrets(url: str) -> str:
    """The URL without its password, and without its options, which may contain one.

    It works on the text alone, because a parser takes a password with an unescaped @ for a part
    of the host.
    """
    return re.sub(r"://([^:/@]*):.*@", r"://\1:***@", url.partition("?")[0])


def broker_url(text: str) -> Secret:
    try:
        parsed = urlsplit(text)
        usable = (
            parsed.scheme in ("amqp", "amqps")
            and parsed.hostname
            and parsed.port != 0
            # An @ here is the rest of a password that was not escaped.
            and "@" not in f"{parsed.path}{parsed.query}{parsed.fragment}"
        )
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(
            "must be amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS; write a / in the"
            " password as %2F and an @ as %40"
        )
    return secret(text)


def http_url(text: str) -> Secret:
    try:
        parsed = urlsplit(text)
        usable = parsed.scheme in ("http", "https") and parsed.hostname and parsed.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be http://HOST:PORT or https://HOST:PORT")
    return secret(text)


def file_path(text: str) -> Path:
    # If somebody pastes a key instead, no error and no output of `config` may print it.
    if not text.isprintable() or text.startswith("-----BEGIN"):
        raise ValueError("must be the path of a file, not its content")
    return Path(text)


def host_and_port(*, min_port: int = 1) -> Callable[[str], str]:
    def parse(text: str) -> str:
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:/\[\]\s]+):(\d{1,5})", text)
        try:
            match[1].encode("idna") if match else None
        except UnicodeError:  # no name of a machine
            match = None
        if not match or not min_port <= int(match[2]) <= 65535:
            raise ValueError("must be HOST:PORT, for example localhost:50051")
        return text

    return parse


def host_and_port_or_off(text: str) -> str:
    return "" if text == "off" else host_and_port(min_port=0)(text)


def split_address(address: str) -> tuple[str, int]:
    """Host and port as sockets take them: [::1]:80 loses its brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def loopback_address(listen_address: str) -> str:
    """The address at which this machine reaches a process that listens at `listen_address`."""
    host, _, port = listen_address.rpartition(":")
    return f"{_LOOPBACK_OF.get(host, host)}:{port}"


_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # nosec  # noqa: S104 - looked for, not bound


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a command. An empty variable counts as not set.

    A secret NAME may come from the file that NAME_FILE names instead. Line ends at the end of the
    file are removed, because editors and `echo` add them.
    """

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Raises ConfigurationError with a line for each setting that is wrong."""
        values = {}
        problems = []
        for declared in fields(cls):
            try:
                text, path = _text(declared, environment), _path(declared, environment)
                if path:
                    values[declared.name] = _from_file(declared, path)
                elif text:
                    values[declared.name] = declared.metadata["parse"](text)
            except ValueError as error:
                problem = ConfigurationError.on(_name_in_use(declared, environment), error)
                problem.setting = _variable(declared)
                problems.append(problem)
        if problems:
            first, *first.others = problems
            raise first
        loaded = cls(**values)
        loaded.check(values.keys())
        return loaded

    @classmethod
    def deprecation_warnings(cls, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
        """A sentence for each setting that is set by its old name."""
        for declared in fields(cls):
            for old_name in _old_names_set(declared, environment):
                yield f"{old_name} is deprecated: rename it to {_variable(declared)}"

    def check(self, set_fields: Collection[str]) -> None:
        """Raises ConfigurationError for values that do not fit together.

        `set_fields` names the fields that the environment sets.
        """

    @classmethod
    def help_lines(cls) -> Iterator[str]:
        """Each setting with its default and its description."""
        for declared in fields(cls):
            default = declared.metadata["show"](declared.default)
            yield f"  {_variable(declared)} (default: {default or 'none'})"
            yield from _indented(declared.metadata["description"])
            others = [
                *declared.metadata["aliases"],
                *(f"{name} (deprecated)" for name in declared.metadata["old_names"]),
            ]
            if declared.metadata["in_file"]:
                others.append(f"{_variable(declared)}_FILE, the path of a file that contains it")
            if others:
                yield from _indented(f"or {', or '.join(others)}")

    def redacted_lines(self) -> Iterator[str]:
        """Each setting with its effective value, without secrets."""
        for declared in fields(self):
            value = declared.metadata["show"](getattr(self, declared.name))
            yield f"{_variable(declared)}={value}"


def _indented(text: str) -> Sequence[str]:
    indent = " " * 6
    return textwrap.wrap(
        text, 79, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _url_text(url: Secret | None) -> str:
    return url_without_secrets(url.reveal()) if url else ""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings(Settings):
    """Settings of a command that keeps running and writes a log."""

    log_level: str = setting(
        "info",
        "Lowest level that is logged: debug, info, warning or error",
        choice("debug", "info", "warning", "error"),
    )
    log_format: str = setting(
        "",
        "console or json. If not set, console on a terminal, otherwise json",
        choice("console", "json"),
    )
    # These, and all others that begin with OTEL_, are read by the OpenTelemetry SDK, too.
    otel_exporter_otlp_endpoint: Secret | None = setting(
        None,
        "URL of an OpenTelemetry collector for traces, for example http://HOST:4318. Needs"
        " manmanv2[otel]",
        http_url,
        show=_url_text,
    )
    otel_exporter_otlp_traces_endpoint: Secret | None = setting(
        None,
        "URL for traces only, with the full path, for example http://HOST:4318/v1/traces",
        http_url,
        show=_url_text,
    )
    otel_sdk_disabled: bool = setting(False, "true disables tracing", boolean)

    @property
    def collector(self) -> "Collector | None":
        """The collector of traces; None if tracing is disabled."""
        if self.otel_sdk_disabled:
            return None
        if self.otel_exporter_otlp_traces_endpoint:
            whole = self.otel_exporter_otlp_traces_endpoint.reveal()
            return Collector("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", whole)
        if self.otel_exporter_otlp_endpoint:
            base = self.otel_exporter_otlp_endpoint.reveal().removesuffix("/")
            return Collector("OTEL_EXPORTER_OTLP_ENDPOINT", f"{base}/v1/traces")
        return None


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector of traces: the variable that names it, and the URL that accepts spans."""

    variable: str
    url: str = field(repr=False)


def _variable(declared: Field[Any]) -> str:
    return declared.name.upper()


def _file_variable(declared: Field[Any]) -> str:
    return f"{_variable(declared)}_FILE"


def _old_names_set(declared: Field[Any], environment: Mapping[str, str]) -> Sequence[str]:
    return [name for name in declared.metadata["old_names"] if environment.get(name)]


def _name_in_use(declared: Field[Any], environment: Mapping[str, str]) -> str:
    """For an error: the old name as well, where it is the one that was set."""
    variable, old_names = _variable(declared), _old_names_set(declared, environment)
    if environment.get(variable) or not old_names:
        return variable
    return f"{old_names[0]} (now {variable})"


def _text(declared: Field[Any], environment: Mapping[str, str]) -> str:
    old_names = _old_names_set(declared, environment)
    if environment.get(_variable(declared)) and old_names:
        raise InvalidValue(f"{old_names[0]}, its old name, is set too", f"remove {old_names[0]}")
    names = (_variable(declared), *declared.metadata["aliases"], *old_names)
    return next((environment[name] for name in names if environment.get(name)), "")


def _path(declared: Field[Any], environment: Mapping[str, str]) -> str:
    path = environment.get(_file_variable(declared), "") if declared.metadata["in_file"] else ""
    if path and _text(declared, environment):
        raise InvalidValue(f"{_file_variable(declared)} is set too", "remove one of them")
    return path


def _from_file(declared: Field[Any], path: str) -> object:
    variable, parse_file = _file_variable(declared), declared.metadata["parse_file"]
    try:
        if parse_file:
            return parse_file(Path(path))
        text = Path(path).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidValue(
            f"cannot be read from {path} ({reason})", f"fix {variable} or the file's permissions"
        ) from None
    if not text:
        # Taking it for a key that is not set would open what the key was meant to protect.
        raise InvalidValue(
            f"{variable} names {path}, which is empty", f"fill the file, or unset {variable}"
        )
    return declared.metadata["parse"](text)
