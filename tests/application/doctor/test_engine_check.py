from pathlib import Path

from tests.support.fakes import FakeMachine
from tests.support.host_checks import AWAY, outcome


def test_an_engine_that_does_not_answer_fails_with_the_fix() -> None:
    text = outcome("Docker", engine=FakeMachine([AWAY]))

    assert text == "FAIL DOCKER_SOCKET /x does not exist: start Docker"


def test_the_fix_names_another_socket_at_which_docker_answers() -> None:
    text = outcome("Docker", engine=FakeMachine([AWAY]), other_socket=Path("/y"))

    assert text.endswith(": set DOCKER_SOCKET=/y, where Docker answers")


def test_an_optional_engine_that_does_not_answer_is_a_warning() -> None:
    text = outcome("Docker", engine=FakeMachine([AWAY]), docker_optional=True)

    assert text.startswith("warn DOCKER_SOCKET /x does not exist, which DOCKER_OPTIONAL permits")
