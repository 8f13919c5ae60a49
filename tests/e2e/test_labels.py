"""Labels set by hosts and by operators, and selectors that use them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.sql.engine import make_engine
from adapters.sql.store import SqlStore
from adapters.system.clock import SystemClock
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from domain.labels import parse_selector
from protos.manman.v1 import manman_pb2 as pb
from tests.support.processes import (
    Api,
    Process,
    client,
    eventually,
    printed_by,
    run_to_end,
    servers,
)

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]


def failing(api: Api, *arguments: str) -> tuple[int, str]:
    """The exit code and the error of a command that must fail."""
    ended = run_to_end("manmanv2", *arguments, stdin="{}", API_ADDRESS=api.address)
    return ended.returncode, ended.stderr.splitlines()[-1]


def listed(api: Api, selector: str) -> list[str]:
    printed = printed_by(api, "servers", "list", "-l", selector, "-o", "json")
    return [server["name"] for server in json.loads(printed)]


def show(api: Api, server_id: int) -> Any:
    return json.loads(printed_by(api, "servers", "show", str(server_id), "-o", "json"))


def put(api: Api, selector: str, name: str, document: str) -> None:
    printed_by(api, "configs", "put", "-l", selector, name, stdin=document)


def reads(folder: Path, name: str) -> str | None:
    try:
        return (folder / f"{name}.json").read_text()
    except FileNotFoundError:
        return None


def test_an_operators_label_wins_over_the_hosts_label(api: Api, start_host: StartHost) -> None:
    host = start_host(api.address, SERVER_NAME="web", LABELS="region=nyc,tier=gold")
    host.wait_until_logged("Registered as server 1")
    with client(api.address) as stub:
        stub.CreateServer(pb.CreateServerRequest(name="bare"))

    assert listed(api, "tier=gold") == ["web"]
    assert listed(api, "!tier") == ["bare"]

    output = printed_by(api, "servers", "label", "1", "tier=silver", "example.com/rack=7")

    assert output == (
        "server 1 (web) has the labels example.com/rack=7 (operator), region=nyc,"
        " tier=silver (operator)\n"
    )
    assert listed(api, "tier=gold") == []
    assert listed(api, "region in (nyc, ams), tier!=gold") == ["web"]
    assert show(api, 1)["labels"] == {
        "example.com/rack": "7",
        "region": "nyc",
        "tier": "silver",
    }
    assert show(api, 1)["operator_labels"] == {"example.com/rack": "7", "tier": "silver"}

    printed_by(api, "servers", "label", "1", "tier-", "example.com/rack-")

    assert listed(api, "tier=gold") == ["web"]
    assert "Labels:        region=nyc, tier=gold\n" in printed_by(api, "servers", "show", "1")


def test_a_host_replaces_its_labels_at_each_start(api: Api, start_host: StartHost) -> None:
    first = start_host(api.address, SERVER_NAME="web", LABELS="region=nyc,tier=gold")
    first.wait_until_logged("Registered as server 1")
    printed_by(api, "servers", "label", "1", "tier=silver")
    first.terminate()
    second = start_host(api.address, SERVER_NAME="web", LABELS="zone=a")
    second.wait_until_logged("Registered as server 1")

    assert dict(servers(api.address)["web"].labels) == {"zone": "a", "tier": "silver"}


def test_documents_on_selectors_follow_the_labels_and_the_most_specific_wins(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    api = start_api(f"sqlite:///{tmp_path / 'fleet.sqlite3'}")
    folder = tmp_path / "config"
    host = start_host(api.address, SERVER_NAME="web", LABELS="region=nyc", CONFIG_DIR=str(folder))
    host.wait_until_logged("Registered as server 1")

    put(api, "region=nyc", "motd", '"of the region"')
    eventually(lambda: reads(folder, "motd") == '"of the region"', "the document", host, api)

    # Stored before the server has the label, so its revision is older than the host's.
    put(api, "region=nyc,tier=gold", "motd", '"of gold in the region"')
    put(api, "tier=gold", "limits", "1")
    printed_by(api, "configs", "put", "1", "ports", stdin="2")
    eventually(lambda: reads(folder, "ports") == "2", "its own document", host, api)
    printed_by(api, "servers", "label", "1", "tier=gold")
    eventually(lambda: reads(folder, "limits") == "1", "what gold has", host, api)

    assert reads(folder, "motd") == '"of gold in the region"'
    effective = printed_by(api, "configs", "effective", "1").splitlines()
    assert [(line.split()[0], line.split(maxsplit=3)[3]) for line in effective[1:]] == [
        ("limits", "tier=gold"),
        ("motd", "region=nyc,tier=gold"),
        ("ports", "itself"),
    ]

    printed_by(api, "configs", "put", "1", "motd", stdin='"its own"')
    eventually(lambda: reads(folder, "motd") == '"its own"', "its own document", host, api)
    printed_by(api, "configs", "delete", "1", "motd")
    eventually(lambda: reads(folder, "motd") == '"of gold in the region"', "that", host, api)
    printed_by(api, "servers", "label", "1", "tier-")
    eventually(lambda: reads(folder, "motd") == '"of the region"', "the region's", host, api)

    eventually(lambda: reads(folder, "limits") is None, "what gold had to go", host, api)
    assert reads(folder, "ports") == "2"

    printed_by(api, "configs", "delete", "-l", "region=nyc", "motd")
    eventually(lambda: reads(folder, "motd") is None, "the document to go", host, api)


def test_another_api_finishes_what_one_api_left(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
    api, folder = start_api(url), tmp_path / "config"
    host = start_host(api.address, SERVER_NAME="web", LABELS="tier=gold", CONFIG_DIR=str(folder))
    host.wait_until_logged("Registered as server 1")
    api.terminate()
    engine = make_engine(url)
    # Like an API that is killed before it propagates the change.
    put_and_die = PutSelectorConfiguration(SqlStore(engine), SystemClock(), lambda: False)
    put_and_die(parse_selector("tier=gold"), "motd", "1")
    engine.dispose()
    start_api(url, address=api.address)

    eventually(lambda: reads(folder, "motd") == "1", "the document", host)


def test_documents_on_selectors_are_listed_and_read(api: Api) -> None:
    put(api, "tier == gold , region in (nyc)", "motd", '{"a":  1}')
    put(api, "!old", "limits", "2")

    assert printed_by(api, "configs", "get", "-l", "region=nyc,tier=gold", "motd") == '{"a":  1}'
    rows = [line.split()[:3] for line in printed_by(api, "configs", "list").splitlines()]
    assert rows == [
        ["SELECTOR", "NAME", "REVISION"],
        ["!old", "limits", "2"],
        ["region=nyc,tier=gold", "motd", "1"],
    ]
    one = json.loads(printed_by(api, "configs", "list", "-l", "!old", "-o", "json"))
    assert [(summary["name"], summary["selector"]) for summary in one] == [("limits", "!old")]
    output = printed_by(api, "configs", "delete", "-l", "tier=gold,region=nyc", "motd")
    assert output == "deleted motd of the selector region=nyc,tier=gold\n"
    put_as_json = printed_by(api, "configs", "put", "-l", "gpu", "-o", "json", "motd", stdin="3")
    assert json.loads(put_as_json)["selector"] == "gpu"
    deleted = printed_by(api, "configs", "delete", "-l", "gpu", "motd", "-o", "json")
    assert json.loads(deleted) == {"selector": "gpu", "name": "motd"}


@pytest.fixture(scope="module")
def api_of_web(shared_api: Api) -> Api:
    """Server 1 is web."""
    with client(shared_api.address) as stub:
        stub.CreateServer(pb.CreateServerRequest(name="web"))
    return shared_api


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (
            ["servers", "list", "-l", "region=nyc,"],
            65,
            "cannot be read at its end: expected the key of a label",
        ),
        (
            ["servers", "list", "-l", "a b"],
            65,
            "cannot be read at character 3, 'b': expected a comma",
        ),
        (["servers", "watch", "1", "-l", "a"], 2, "Give either the ids of servers or options"),
        (["servers", "label", "1"], 2, "Missing argument"),
        (["servers", "label", "1", "tier"], 2, "'tier' is neither KEY=VALUE nor KEY-."),
        (["servers", "label", "1", "a=1", "a-"], 2, "'a' is given more than once."),
        (["servers", "label", "1", "a=b c"], 65, "set has the value 'b c' of a"),
        (["servers", "label", "42", "a=b"], 66, "server 42 does not exist"),
        (["configs", "get", "-l", "a", "1", "name"], 2, "unexpected extra argument"),
        (["configs", "put", "name"], 2, "No server has the id 'name'; see "),
        (["configs", "put", "-l", "a=", "Bad/Name"], 65, "name must have 1 to 100"),
        (["configs", "get", "-l", "a", "x"], 66, "the selector 'a' has no configuration named"),
        (["configs", "list", "1", "-l", "a"], 2, "Give a server's id or a selector"),
        (["configs", "effective", "42"], 66, "server 42 does not exist"),
    ],
)
def test_every_error_is_one_sentence_and_an_exit_code(
    api_of_web: Api, arguments: list[str], exit_code: int, words: str
) -> None:
    ended, sentence = failing(api_of_web, *arguments)

    assert words in sentence
    assert ended == exit_code
