import pytest

from domain.errors import ManManError, NameInUse, NotAdmitted, SupersededRegistration, as_sentence


@pytest.mark.parametrize("kind", [NameInUse, SupersededRegistration, NotAdmitted])
def test_an_error_from_another_process_keeps_its_type_and_message(
    kind: type[ManManError],
) -> None:
    error = kind.from_message("the name is held")

    assert type(error) is kind
    assert str(error) == "the name is held"


@pytest.mark.parametrize(
    ("message", "sentence"),
    [("the name is held", "The name is held."), ("It is away.", "It is away."), ("", ".")],
)
def test_an_error_becomes_a_sentence(message: str, sentence: str) -> None:
    assert as_sentence(ManManError(message)) == sentence
