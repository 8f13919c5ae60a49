import pytest

from domain.errors import ManManError, NameInUse, NotAdmitted, SupersededRegistration, as_sentence


@pytest.mark.parametrize("kind", [NameInUse, SupersededRegistration, NotAdmitted])
def test_an_error_that_another_process_told_is_of_its_kind_and_has_its_words(
    kind: type[ManManError],
) -> None:
    error = kind.from_message("the name is held")

    assert type(error) is kind
    assert str(error) == "the name is held"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [("the name is held", "The name is held."), ("It is away.", "It is away."), ("", ".")],
)
def test_an_error_is_a_sentence_among_others(said: str, sentence: str) -> None:
    assert as_sentence(ManManError(said)) == sentence
