"""Why the host manager ends by itself: one table from errors to exit codes and sentences."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from application.host.deregister_host import NothingToDeregister
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from application.ports.host.state_folder import StateFolderTaken
from domain.errors import (
    InvalidField,
    InvalidRegistrationKey,
    NotAdmitted,
    SupersededRegistration,
    as_sentence,
)
from entrypoints.host.settings import HostSettings, Transport


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    sentence: str


def exit_for(error: Exception, settings: HostSettings) -> Exit | None:
    """None for an error that is a bug in the host manager."""
    for kind, code, sentence in _EXITS:
        if isinstance(error, kind):
            return Exit(code, sentence(error, settings))
    return None


_Sentence = Callable[[Exception, HostSettings], str]


def _after(words: str) -> _Sentence:
    return lambda error, _: f"{words}{as_sentence(error)}"


def _text(error: Exception, _: HostSettings) -> str:
    return str(error)


def _invalid_key(_: Exception, settings: HostSettings) -> str:
    at = f"at {settings.api_address}"
    api = at if settings.way is Transport.GRPC else "behind RABBITMQ_URL"
    return (
        f"The API {api} refuses this host because of an invalid registration key: set"
        " REGISTRATION_KEY to the API's key, without blanks or line ends around it."
    )


def _invalid_name(error: Exception, _: HostSettings) -> str:
    return f"The name of this host is invalid: {error}. Set SERVER_NAME."


def _nothing_to_deregister(error: Exception, _: HostSettings) -> str:
    return f"{error}: delete a server by its id instead, with `manmanv2 servers delete ID`."


_EXITS: Sequence[tuple[type[Exception], int, _Sentence]] = (
    (InvalidRegistrationKey, os.EX_NOPERM, _invalid_key),
    (NotAdmitted, os.EX_NOPERM, _after("The API does not admit this host: ")),
    (
        SupersededRegistration,
        os.EX_TEMPFAIL,
        _after("Another host manager has replaced this one: "),
    ),
    (ControlPlaneRefused, os.EX_CONFIG, _text),
    (StateFolderTaken, os.EX_CONFIG, _text),
    (InvalidField, os.EX_CONFIG, _invalid_name),
    (NothingToDeregister, os.EX_CONFIG, _nothing_to_deregister),
    (ControlPlaneUnavailable, os.EX_UNAVAILABLE, _text),
)
