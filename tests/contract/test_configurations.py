import pytest

from application.ports.store.store import Store
from domain.configuration import MAX_DOCUMENT_BYTES, Configuration, ConfigurationSummary
from tests.support.builders import NOW, SECOND

# JSON with everything that a text may contain, which must be stored byte for byte.
DOCUMENT = '{ "motd":"Grüße 🎲 \'%s\' \\u0000 ;--",\r\n\t"slots":  1.50 }\n'
VALHEIM = Configuration("valheim", DOCUMENT, 1, NOW)


@pytest.fixture
def web(store: Store) -> int:
    with store.begin() as transaction:
        return transaction.servers.find_or_add("web").server_id


def put(store: Store, server_id: int, configuration: Configuration) -> None:
    with store.begin() as transaction:
        transaction.servers.get(server_id, lock=True)
        transaction.configurations.put(server_id, configuration)


def get(store: Store, server_id: int, name: str) -> Configuration | None:
    with store.begin() as transaction:
        return transaction.configurations.get(server_id, name)


def names(store: Store, server_id: int) -> list[str]:
    with store.begin() as transaction:
        return [summary.name for summary in transaction.configurations.summaries(server_id)]


def remove(store: Store, server_id: int, name: str) -> bool:
    with store.begin() as transaction:
        return transaction.configurations.remove(server_id, name)


def test_a_document_is_stored_byte_for_byte(store: Store, web: int) -> None:
    put(store, web, VALHEIM)

    assert get(store, web, "valheim") == VALHEIM


def test_the_largest_document_fits(store: Store, web: int) -> None:
    largest = Configuration("largest", "é" * (MAX_DOCUMENT_BYTES // 2), 2**63 - 1, NOW)
    put(store, web, largest)

    assert get(store, web, "largest") == largest


def test_a_document_is_replaced_as_a_whole(store: Store, web: int) -> None:
    put(store, web, VALHEIM)
    put(store, web, Configuration("rust", "{}", 2, NOW))
    newer = Configuration("valheim", "[]", 3, NOW + SECOND)
    put(store, web, newer)

    assert get(store, web, "valheim") == newer
    assert names(store, web) == ["rust", "valheim"]


def test_a_summary_has_everything_but_the_document(store: Store, web: int) -> None:
    put(store, web, VALHEIM)

    with store.begin() as transaction:
        assert transaction.configurations.summaries(web) == [
            ConfigurationSummary("valheim", 1, NOW)
        ]


def test_summaries_are_in_ascii_order(store: Store, web: int) -> None:
    ordered = ["0", "10", "2", "a", "a-b", "a.b", "a_b", "aa", "ab", "b"]
    for revision, name in enumerate(reversed(ordered)):
        put(store, web, Configuration(name, "{}", revision, NOW))

    assert names(store, web) == ordered


def test_a_document_is_removed_once(store: Store, web: int) -> None:
    put(store, web, VALHEIM)
    put(store, web, Configuration("rust", "{}", 2, NOW))

    assert remove(store, web, "valheim")
    assert not remove(store, web, "valheim")
    assert get(store, web, "valheim") is None
    assert names(store, web) == ["rust"]


def test_documents_of_servers_do_not_mix(store: Store, web: int) -> None:
    with store.begin() as transaction:
        other = transaction.servers.find_or_add("db").server_id
    put(store, web, VALHEIM)
    put(store, other, Configuration("valheim", "null", 9, NOW))

    assert remove(store, other, "valheim")
    assert get(store, web, "valheim") == VALHEIM


@pytest.mark.parametrize("server_id", [0, -1, 2**63 - 1])
def test_an_unknown_server_has_no_documents(store: Store, web: int, server_id: int) -> None:
    put(store, web, VALHEIM)

    assert get(store, server_id, "valheim") is None
    assert names(store, server_id) == []
    assert not remove(store, server_id, "valheim")


def test_documents_are_deleted_with_their_server(store: Store, web: int) -> None:
    put(store, web, VALHEIM)
    with store.begin() as transaction:
        transaction.servers.remove(web)

    assert get(store, web, "valheim") is None
    assert names(store, web) == []
