import os

import pytest

from application.host.deregister_host import NothingToDeregister
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from application.ports.host.state_folder import StateFolderTaken
from domain.errors import (
    InvalidField,
    InvalidRegistrationKey,
    JoinKeyRefused,
    NotAdmitted,
    SupersededRegistration,
)
from entrypoints.host.exits import Exit, exit_for
from entrypoints.host.settings import HostSettings

SETTINGS = HostSettings.load({"API_ADDRESS": "api:50051"})


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            InvalidRegistrationKey(),
            os.EX_NOPERM,
            (
                "The API at api:50051 refuses this host because of an invalid registration key: set"
                " REGISTRATION_KEY to the API's key, without blanks or line ends around it."
            ),
        ),
        (
            NotAdmitted.from_message("server 1 (web) was banned"),
            os.EX_NOPERM,
            "The API does not admit this host: Server 1 (web) was banned.",
        ),
        (
            JoinKeyRefused.from_message("the join key has expired"),
            os.EX_NOPERM,
            "The API does not admit this host: The join key has expired.",
        ),
        (
            SupersededRegistration.from_message("server 1 was registered again"),
            os.EX_TEMPFAIL,
            "Another host manager has replaced this one: Server 1 was registered again.",
        ),
        (
            ControlPlaneRefused("The API is too old", "upgrade it"),
            os.EX_CONFIG,
            "The API is too old: upgrade it.",
        ),
        (
            StateFolderTaken("STATE_DIR /x is in use", "stop that one"),
            os.EX_CONFIG,
            "STATE_DIR /x is in use: stop that one.",
        ),
        (
            InvalidField("name", "is empty"),
            os.EX_CONFIG,
            "The name of this host is invalid: name is empty. Set SERVER_NAME.",
        ),
        (
            NothingToDeregister("STATE_DIR contains no state of a registered host"),
            os.EX_CONFIG,
            (
                "STATE_DIR contains no state of a registered host: delete a server by its id"
                " instead, with `manmanv2 servers delete ID`."
            ),
        ),
        (
            ControlPlaneUnavailable("The API is away", "start it"),
            os.EX_UNAVAILABLE,
            "The API is away: start it.",
        ),
    ],
)
def test_every_expected_error_has_an_exit_code_and_a_sentence(
    error: Exception, code: int, sentence: str
) -> None:
    assert exit_for(error, SETTINGS) == Exit(code, sentence)


def test_any_other_error_is_a_bug() -> None:
    assert exit_for(ZeroDivisionError(), SETTINGS) is None


def test_a_host_that_uses_amqp_names_the_broker_instead_of_the_api_address() -> None:
    settings = HostSettings.load({"TRANSPORT": "amqp", "RABBITMQ_URL": "amqp://u:p@broker/"})
    known = exit_for(InvalidRegistrationKey(), settings)

    assert known
    assert known.sentence.startswith("The API behind RABBITMQ_URL refuses this host")
