import pytest

from application.ports.diagnosis import (
    DiagnosedError,
    DiagnosedFailure,
    Diagnosis,
    InvalidValue,
    diagnosis_of,
)


@pytest.mark.parametrize(
    ("diagnosis", "text"),
    [
        (Diagnosis("It is away", "start it"), "It is away: start it"),
        (Diagnosis("It is away: no answer", "start it", "; "), "It is away: no answer; start it"),
        (Diagnosis("It is away: no answer"), "It is away: no answer"),
    ],
)
def test_a_diagnosis_reads_as_the_problem_and_its_fix(diagnosis: Diagnosis, text: str) -> None:
    assert str(diagnosis) == text


def test_only_a_failure_is_a_whole_sentence() -> None:
    assert str(DiagnosedFailure("It is away", "start it")) == "It is away: start it."
    assert str(DiagnosedError("is away", "start it")) == "is away: start it"


def test_an_error_passes_its_diagnosis_on_to_another() -> None:
    inner = DiagnosedError("/ca holds no certificate", "write one into it", separator="; ")

    outer = DiagnosedFailure.of(inner.diagnosis.after("CA_FILE "))

    assert outer.diagnosis == Diagnosis(
        "CA_FILE /ca holds no certificate", "write one into it", "; "
    )


def test_an_error_without_a_diagnosis_is_a_problem_without_a_fix() -> None:
    assert diagnosis_of(ValueError("must be a number: 3")) == Diagnosis("must be a number: 3")


def test_an_invalid_value_is_a_value_error_with_a_fix() -> None:
    with pytest.raises(ValueError, match="is empty: fill it") as caught:
        raise InvalidValue("is empty", "fill it")

    assert diagnosis_of(caught.value) == Diagnosis("is empty", "fill it")
