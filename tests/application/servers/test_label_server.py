import pytest

from application.registration.register_server import Registration
from application.servers.label_server import LabelServer
from domain.errors import InvalidField, ServerNotFound
from domain.events import EventKind
from domain.labels import MAX_LABELS, Labels
from tests.support.fleet import Fleet


@pytest.fixture
def label(fleet: Fleet) -> LabelServer:
    return LabelServer(fleet.store, fleet.clock)


@pytest.fixture
def web(fleet: Fleet) -> int:
    labels = {"region": "nyc", "tier": "gold"}
    return fleet.register(Registration("web", labels=labels)).server.server_id


def causes(fleet: Fleet, server_id: int) -> list[str]:
    """The causes of its label events, oldest first."""
    with fleet.store.begin() as transaction:
        return [
            entry.cause
            for entry in transaction.history.of(server_id)
            if entry.kind is EventKind.LABELLED
        ]


def test_an_operators_label_overrides_the_hosts_until_it_is_removed(
    fleet: Fleet, label: LabelServer, web: int
) -> None:
    labelled = label(web, {"tier": "silver", "rack": "7"})

    assert labelled == fleet.get(web)
    assert labelled.labels.effective == {"region": "nyc", "tier": "silver", "rack": "7"}

    label(web, {}, ["tier"])

    assert fleet.get(web).labels == Labels({"region": "nyc", "tier": "gold"}, {"rack": "7"})


def test_operators_labels_stay_when_the_host_registers_again(
    fleet: Fleet, label: LabelServer, web: int
) -> None:
    label(web, {"tier": "silver"})
    fleet.register(Registration("web", labels={"tier": "bronze", "zone": "a"}))

    assert fleet.get(web).labels == Labels({"tier": "bronze", "zone": "a"}, {"tier": "silver"})


def test_a_host_that_omits_labels_keeps_them_and_empty_labels_remove_them(
    fleet: Fleet, web: int
) -> None:
    fleet.register(Registration("web"))

    assert fleet.get(web).labels == Labels({"region": "nyc", "tier": "gold"})

    fleet.register(Registration("web", labels={}))

    assert fleet.get(web).labels == Labels()


def test_a_change_is_published_with_its_cause_and_no_change_is_not(
    fleet: Fleet, label: LabelServer, web: int
) -> None:
    label(web, {"tier": "silver", "rack": "7"})
    label(web, {"tier": "silver"}, ["never-there"])
    label(web, {"tier": "gold"}, ["rack"])
    label(web, {}, ["tier"])

    assert causes(fleet, web) == [
        "an operator set rack=7 and tier=silver",
        "an operator set tier=gold, and removed rack",
        "an operator removed tier",
    ]


@pytest.mark.parametrize(
    ("labels", "unset", "field"),
    [
        ({}, [], "set"),
        ({"a b": ""}, [], "set"),
        ({"a": "b c"}, [], "set"),
        ({}, ["a b"], "unset"),
        ({"a": "1"}, ["a"], "unset"),
    ],
)
def test_invalid_labels_are_refused_and_change_nothing(
    fleet: Fleet,
    label: LabelServer,
    web: int,
    labels: dict[str, str],
    unset: list[str],
    field: str,
) -> None:
    before = fleet.get(web)

    with pytest.raises(InvalidField) as refused:
        label(web, labels, unset)

    assert refused.value.field == field
    assert fleet.get(web) == before


def test_the_number_of_operators_labels_is_limited_across_calls(
    fleet: Fleet, label: LabelServer, web: int
) -> None:
    label(web, {f"k{number}": "" for number in range(MAX_LABELS)})

    with pytest.raises(InvalidField, match=f"the maximum is {MAX_LABELS}"):
        label(web, {"one-more": ""})

    label(web, {"one-more": ""}, ["k0"])

    assert "one-more" in fleet.get(web).labels.of_operators


def test_an_unknown_server_cannot_be_labelled(label: LabelServer) -> None:
    with pytest.raises(ServerNotFound):
        label(4711, {"a": "b"})
