"""What the commands share of reading their settings from the environment."""

import os
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from entrypoints.failures import ConfigurationError

VERSION = version("manmanv2")


class Settings(BaseSettings):
    """Settings from environment variables named as the fields, in capitals.

    An empty variable counts as not set. A secret NAME may come from the file named by
    NAME_FILE instead; trailing line ends are stripped, since editors and `echo` add them.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )
    log_format: Literal["console", "json"] | None = Field(
        None, description="console or json; when not set, console on a terminal, else json"
    )

    @classmethod
    def load(cls) -> Self:
        """Raises ConfigurationError."""
        try:
            return cls()
        except ValidationError as error:
            problems = [_sentence(dict(found)) for found in error.errors()]
            raise ConfigurationError("\n".join(problems)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @classmethod
    def help_lines(cls) -> Iterator[str]:
        """Each setting with its default and what it is for."""
        for name, field in cls.model_fields.items():
            yield f"  {name.upper()} (default: {_shown(field.default) or 'none'})"
            yield f"      {field.description}"
            if _is_secret(field):
                yield f"      or {name.upper()}_FILE, a file that holds it"

    def redacted_lines(self) -> Iterator[str]:
        """Each setting as it is in force, without secrets."""
        for name in type(self).model_fields:
            yield f"{name.upper()}={_shown(getattr(self, name))}"


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads NAME_FILE for each secret NAME."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = field_name.upper()
        path = os.environ.get(f"{variable}_FILE")
        if not path or not _is_secret(field):
            return None, field_name, False
        if os.environ.get(variable):
            raise ConfigurationError(f"{variable} and {variable}_FILE are both set: remove one.")
        try:
            secret = Path(path).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigurationError(
                f"{variable}_FILE: {path} cannot be read ({reason}):"
                " mend the path or its permissions."
            ) from None
        return secret or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _shown(value: object) -> str:
    """A setting's value for a person: no secret, and of a URL all but its password."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        revealed = value.get_secret_value()
        if "://" not in revealed:
            return "(set, not shown)"
        return re.sub(r"://([^:/]*):.*@", r"://\1:(not shown)@", revealed)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _sentence(problem: dict[str, Any]) -> str:
    variable = str(problem["loc"][0]).upper() if problem["loc"] else ""
    # A validator's own sentence comes behind this prefix of pydantic's.
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{variable}: {message}" if variable else message
