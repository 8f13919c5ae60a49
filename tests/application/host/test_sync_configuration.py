"""Configuration that arrives in parts. test_run_host.py tests that a host has all of it at the
end."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from application.host.sync_configuration import SyncConfiguration
from domain.configuration import Configuration, ConfigurationChanges
from domain.errors import InvalidRegistrationKey
from tests.support.fakes import FakeConfigurationFolder, FakeControlPlane, FakeSleep

NAMES = ["a", "b", "c"]


def part(name: str, revision: int, *, last_of: int | None = None) -> ConfigurationChanges:
    """A part with one document; the last part has the server's revision."""
    document = Configuration(name, "{}", revision, datetime(2026, 1, 1, tzinfo=UTC))
    return ConfigurationChanges([document], NAMES, last_of or revision, more=last_of is None)


def follow(
    parts: Sequence[ConfigurationChanges | Exception],
    revision_for_host: int,
    known_revision: int = 0,
) -> tuple[FakeControlPlane, FakeConfigurationFolder]:
    control_plane = FakeControlPlane(fetching=list(parts))
    folder = FakeConfigurationFolder(42, known_revision)
    SyncConfiguration(control_plane, folder, FakeSleep(sleeps=1))(
        42, revision_for_host, lambda: None
    )
    return control_plane, folder


def test_each_fetch_continues_where_the_last_answer_ended() -> None:
    parts = [part("a", 1), part("b", 5), part("c", 7, last_of=9)]
    control_plane, folder = follow(parts, revision_for_host=9, known_revision=3)

    assert control_plane.fetched == [(42, 3, 0), (42, 3, 1), (42, 3, 5)]
    assert folder.revision == 9
    assert folder.documents.keys() == {"a", "b", "c"}


def test_documents_that_change_between_two_parts_are_fetched_again() -> None:
    # Between the parts an old document may have come into effect.
    parts = [part("a", 1), part("b", 5), part("c", 10, last_of=10)]
    _, folder = follow(parts, revision_for_host=9, known_revision=3)

    assert folder.revision == 3
    # The documents that arrived are stored nevertheless.
    assert folder.documents.keys() == {"a", "b", "c"}


def test_a_configuration_in_one_part_counts_as_known_even_above_the_reported_revision() -> None:
    _, folder = follow([part("a", 10, last_of=10)], revision_for_host=9)

    assert folder.revision == 10


def test_a_host_whose_keys_may_change_waits_for_one_that_is_accepted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    refusal = InvalidRegistrationKey()
    control_plane = FakeControlPlane(fetching=[refusal, refusal, part("a", 1, last_of=1)])
    folder = FakeConfigurationFolder(42)
    follow = SyncConfiguration(control_plane, folder, FakeSleep(sleeps=1), keys_may_change=True)
    for _ in range(3):
        follow(42, 1, lambda: None)

    assert folder.documents.keys() == {"a"}
    refused = (
        "the API accepts none of the keys in REGISTRATION_KEY_FILE; add the API's key to the file"
    )
    assert caplog.messages == [
        f"The configuration cannot be fetched: {refused}. Trying again with each heartbeat.",
        "The configuration is at revision 1; 1 of 3 documents changed.",
        "The configuration can be fetched again.",
    ]


def test_a_host_whose_key_stays_ends_when_it_is_refused() -> None:
    control_plane = FakeControlPlane(fetching=[InvalidRegistrationKey()])
    follow = SyncConfiguration(control_plane, FakeConfigurationFolder(42), FakeSleep(sleeps=1))

    with pytest.raises(InvalidRegistrationKey):
        follow(42, 1, lambda: None)
