from contextlib import suppress
from dataclasses import replace

from application.ports.store.store import Store
from domain.configuration import MAX_DOCUMENT_BYTES, Configuration, ConfigurationSummary
from domain.labels import MAX_SELECTOR_LENGTH, Selector, parse_selector
from tests.support.builders import NOW, SECOND

DOCUMENT = '{ "motd":"Grüße 🎲 \'%s\' \\u0000 ;--",\r\n\t"slots":  1.50 }\n'
NYC = parse_selector("region=nyc")
GOLD_IN_NYC = parse_selector("region=nyc,tier=gold")
NOT_OLD = parse_selector("!old")
VALHEIM = Configuration("valheim", DOCUMENT, 1, NOW, NYC)


def put(store: Store, *configurations: Configuration) -> None:
    with store.begin() as transaction:
        for configuration in configurations:
            transaction.selector_configurations.put(configuration)


def get(store: Store, selector: Selector, name: str) -> Configuration | None:
    with store.begin() as transaction:
        return transaction.selector_configurations.get(selector, name)


def matching(store: Store, **labels: str) -> list[tuple[str, str]]:
    with store.begin() as transaction:
        summaries = transaction.selector_configurations.matching(labels)
        return [(str(summary.selector), summary.name) for summary in summaries]


def test_a_document_is_stored_byte_for_byte_with_its_selector(store: Store) -> None:
    put(store, VALHEIM)

    assert get(store, NYC, "valheim") == VALHEIM


def test_the_largest_document_on_the_longest_selector_fits(store: Store) -> None:
    values = ",".join(f"{number:060}" for number in range(8))
    longest = parse_selector(f"{'k' * 7} in ({values})")
    largest = Configuration("x" * 100, "é" * (MAX_DOCUMENT_BYTES // 2), 2**63 - 1, NOW, longest)
    put(store, largest)

    assert len(str(longest)) == MAX_SELECTOR_LENGTH
    assert get(store, longest, "x" * 100) == largest


def test_a_document_replaces_only_the_one_of_its_selector_and_name(store: Store) -> None:
    others = [
        replace(VALHEIM, name="rust", revision=2),
        replace(VALHEIM, selector=GOLD_IN_NYC, revision=3),
    ]
    newer = Configuration("valheim", "[]", 4, NOW + SECOND, NYC)
    put(store, VALHEIM, *others, newer)

    assert get(store, NYC, "valheim") == newer
    assert get(store, NYC, "rust") == others[0]
    assert get(store, GOLD_IN_NYC, "valheim") == others[1]


def test_equivalent_spellings_of_a_selector_are_the_same(store: Store) -> None:
    put(store, replace(VALHEIM, selector=GOLD_IN_NYC))

    assert get(store, parse_selector(" tier == gold , region in (nyc)"), "valheim")


def test_summaries_are_in_the_order_of_selectors_and_names(store: Store) -> None:
    put(
        store,
        replace(VALHEIM, name="b", revision=5),
        replace(VALHEIM, selector=NOT_OLD, revision=6),
        replace(VALHEIM, name="a-b", revision=7),
        replace(VALHEIM, name="a.b", revision=8, updated_at=NOW + SECOND),
    )

    with store.begin() as transaction:
        assert transaction.selector_configurations.summaries() == [
            ConfigurationSummary("valheim", 6, NOW, NOT_OLD),
            ConfigurationSummary("a-b", 7, NOW, NYC),
            ConfigurationSummary("a.b", 8, NOW + SECOND, NYC),
            ConfigurationSummary("b", 5, NOW, NYC),
        ]


def test_documents_that_match_a_server_are_found_by_its_labels(store: Store) -> None:
    put(
        store,
        VALHEIM,
        replace(VALHEIM, selector=GOLD_IN_NYC),
        replace(VALHEIM, selector=NOT_OLD, name="rust"),
    )

    assert matching(store) == [("!old", "rust")]
    assert matching(store, region="nyc", old="") == [("region=nyc", "valheim")]
    assert matching(store, region="nyc", tier="gold") == [
        ("!old", "rust"),
        ("region=nyc", "valheim"),
        ("region=nyc,tier=gold", "valheim"),
    ]


def test_a_document_is_removed_once(store: Store) -> None:
    put(store, VALHEIM, replace(VALHEIM, selector=NOT_OLD))
    with store.begin() as transaction:
        assert transaction.selector_configurations.remove(NYC, "valheim")
        assert not transaction.selector_configurations.remove(NYC, "valheim")
        assert not transaction.selector_configurations.remove(NOT_OLD, "rust")

    assert get(store, NYC, "valheim") is None
    assert get(store, NOT_OLD, "valheim")


def test_a_rolled_back_document_was_never_stored(store: Store) -> None:
    with suppress(RuntimeError), store.begin() as transaction:
        transaction.selector_configurations.put(VALHEIM)
        raise RuntimeError

    assert get(store, NYC, "valheim") is None
