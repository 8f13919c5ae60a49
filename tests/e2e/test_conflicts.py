"""Two machines that claim one name, from the refusal to an operator's decision."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines import FakeMachine
from tests.support.processes import Api, Process, eventually, printed_by, run_to_end, servers
from tests.support.scraping import ManagementServer

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

KEEPS_TRYING = "Trying again until it is free"


@dataclass(frozen=True)
class Contest:
    """The holder has server 1 (web); in conflict 1 the challenger claims its name."""

    api: Api
    holder: Process
    challenger: Process


def machine_and_clone(folder: Path) -> tuple[FakeMachine, FakeMachine]:
    first = FakeMachine.fresh(folder / "machine")
    return first, first.clone(folder / "clone")


def contested(
    start_api: StartApi, start_host: StartHost, machines: tuple[FakeMachine, FakeMachine]
) -> Contest:
    api = start_api("memory://", METRICS_ADDRESS="127.0.0.1:0")
    first, clone = machines
    holder = start_host(api.address, SERVER_NAME="web", **first.settings)
    holder.wait_until_logged("Registered as server 1")
    challenger = start_host(api.address, SERVER_NAME="web", **clone.settings)
    challenger.wait_until_logged(KEEPS_TRYING)
    return Contest(api, holder, challenger)


@pytest.fixture
def machines(tmp_path: Path) -> tuple[FakeMachine, FakeMachine]:
    """The second host's machine is a clone with a copy of the first one's disk."""
    return machine_and_clone(tmp_path)


@pytest.fixture
def contest(
    start_api: StartApi, start_host: StartHost, machines: tuple[FakeMachine, FakeMachine]
) -> Contest:
    return contested(start_api, start_host, machines)


@pytest.fixture(scope="module")
def open_contest(
    start_shared_api: StartApi,
    start_shared_host: StartHost,
    tmp_path_factory: pytest.TempPathFactory,
) -> Contest:
    """A conflict that tests share and never resolve."""
    machines = machine_and_clone(tmp_path_factory.mktemp("machines"))
    return contested(start_shared_api, start_shared_host, machines)


def listed(api: Api, *arguments: str) -> list[dict[str, Any]]:
    conflicts: list[dict[str, Any]] = json.loads(
        printed_by(api, "conflicts", "list", "-o", "json", *arguments)
    )
    return conflicts


def test_the_challenger_logs_who_holds_the_name_and_what_to_do(
    open_contest: Contest,
) -> None:
    message = open_contest.challenger.wait_until_logged(KEEPS_TRYING)

    assert "'web' is held by server 1, another machine at 127.0.0.1, heard" in message
    assert "whose hardware id and boot id differ from this host's" in message
    assert "the machine-id is the same; a cloned machine needs a machine-id of its own" in message
    assert "set another SERVER_NAME or ENVIRONMENT on this host" in message
    assert "`manmanv2 conflicts`" in message
    eventually(
        lambda: listed(open_contest.api)[0]["claims"] > 1, "another claim", open_contest.challenger
    )
    assert open_contest.challenger.count(KEEPS_TRYING) == 1
    assert open_contest.holder.running
    assert servers(open_contest.api.address)["web"].status == "online"


def test_a_conflict_is_listed_counted_and_shown_with_both_machines(open_contest: Contest) -> None:
    [conflict] = listed(open_contest.api)
    table = printed_by(open_contest.api, "conflicts", "list")
    details = printed_by(open_contest.api, "conflicts", "show", "1")

    assert (conflict["name"], conflict["server_id"], conflict["state"]) == ("web", 1, "open")
    assert conflict["agreeing"] == ["machine_id"]
    assert conflict["differing"] == ["hardware_id", "boot_id"]
    assert table.splitlines()[1].split()[:6] == ["1", "web", "1", "open", *["127.0.0.1"] * 2]
    lines = [line.split() for line in details.splitlines()]
    holder, challenger = conflict["holder"]["evidence"], conflict["challenger"]["evidence"]
    for words, kind, verdict in (
        (["machine-id"], "machine_id", ["the", "same"]),
        (["hardware", "id"], "hardware_id", ["different"]),
        (["boot", "id"], "boot_id", ["different"]),
    ):
        assert [*words, holder[kind][:12], challenger[kind][:12], *verdict] in lines
    assert ["Docker", "engine", "ID", "-", "-", "not", "known", "for", "both"] in lines
    assert (
        "The disk is the same, but the board differs: the disk was most likely copied." in details
    )
    for option in ("--adopt", "--rename NAME", "--evict"):
        assert f"  manmanv2 conflicts resolve 1 {option}\n" in details
    assert ManagementServer(open_contest.api).value("manmanv2_conflicts_open") == 1


def test_the_suggested_commands_contain_the_api_option(open_contest: Contest) -> None:
    address = open_contest.api.address
    ended = run_to_end("manmanv2", "--api", address, "conflicts", "show", "1")

    assert f"  manmanv2 --api {address} conflicts resolve 1 --adopt\n" in ended.stdout


def test_after_adopt_the_challenger_has_the_server_and_the_holder_stops(
    contest: Contest, start_host: StartHost, machines: tuple[FakeMachine, FakeMachine]
) -> None:
    printed_by(contest.api, "configs", "put", "1", "limits", stdin="{}")
    printed = printed_by(contest.api, "conflicts", "resolve", "1", "--adopt", stdin="y\n")

    assert "The challenger at 127.0.0.1 takes over server 1 (web) with all its data" in printed
    assert "the holder at 127.0.0.1 must stop, and is refused under this name" in printed
    contest.challenger.wait_until_logged("Registered as server 1 under the name web")
    assert contest.challenger.logged("This host has the name now.")
    assert contest.holder.wait() == 75
    assert contest.holder.logged("Server 1 was registered again by another host manager")
    assert printed_by(contest.api, "configs", "list", "1").splitlines()[1].startswith("limits")

    machines[0].reboot()
    loser = start_host(contest.api.address, SERVER_NAME="web", **machines[0].settings)
    message = loser.wait_until_logged(KEEPS_TRYING)

    assert "to which an operator gave it (conflict 1): set another SERVER_NAME" in message
    assert contest.challenger.running
    assert [conflict["conflict_id"] for conflict in listed(contest.api)] == [2]


def test_a_host_that_lost_a_name_does_not_get_it_back_when_the_winner_is_offline(
    contest: Contest, start_host: StartHost, machines: tuple[FakeMachine, FakeMachine]
) -> None:
    printed_by(contest.api, "conflicts", "resolve", "1", "--adopt", "--yes")
    contest.challenger.wait_until_logged("Registered as server 1")
    contest.holder.wait()
    contest.challenger.terminate()
    eventually(
        lambda: servers(contest.api.address)["web"].status == "offline",
        "the server to be offline",
        contest.api,
    )
    loser = start_host(contest.api.address, SERVER_NAME="web", **machines[0].settings)
    loser.wait_until_logged(KEEPS_TRYING)
    winner = start_host(contest.api.address, SERVER_NAME="web", **machines[1].settings)

    winner.wait_until_logged("Registered as server 1")


def test_after_rename_the_challenger_has_a_server_of_its_own(
    contest: Contest, start_host: StartHost, machines: tuple[FakeMachine, FakeMachine]
) -> None:
    printed = printed_by(contest.api, "conflicts", "resolve", "1", "--rename", "web-2")

    assert printed == (
        "conflict 1 is resolved: the challenger at 127.0.0.1 becomes a new server named web-2 the"
        " next time it registers; the holder at 127.0.0.1 keeps server 1 (web)\n"
    )
    contest.challenger.wait_until_logged("Registered as server 2 under the name web-2")
    assert contest.holder.running
    assert contest.challenger.terminate() == 0

    machines[1].reboot()
    again = start_host(contest.api.address, SERVER_NAME="web", **machines[1].settings)
    again.wait_until_logged("Registered as server 2 under the name web-2")

    by_name = servers(contest.api.address)
    assert {name: by_name[name].server_id for name in by_name} == {"web": 1, "web-2": 2}


def test_after_evict_only_a_restore_admits_the_holder_again(contest: Contest) -> None:
    printed_by(contest.api, "configs", "put", "1", "limits", stdin="{}")
    printed = printed_by(contest.api, "conflicts", "resolve", "1", "--evict", stdin="y\n")

    assert "Server 1 (web) is deleted with all its data" in printed
    contest.challenger.wait_until_logged("Registered as server 2 under the name web")
    message = contest.holder.wait_until_logged(KEEPS_TRYING)
    assert "conflict 1" in message
    assert printed_by(contest.api, "configs", "list", "2").splitlines()[1:] == []
    assert contest.holder.count("Registered as") == 1

    contest.challenger.terminate()
    printed_by(contest.api, "servers", "delete", "2", "--yes")
    printed_by(contest.api, "servers", "restore", "1")
    eventually(
        lambda: contest.holder.count("Registered as server 1") == 2,
        "the second registration",
        contest.holder,
    )

    assert printed_by(contest.api, "configs", "list", "1").splitlines()[1].startswith("limits")


def test_a_no_leaves_everything_as_it_was(open_contest: Contest) -> None:
    ended = run_to_end(
        "manmanv2",
        *("conflicts", "resolve", "1", "--evict"),
        stdin="n\n",
        API_ADDRESS=open_contest.api.address,
    )

    assert ended.returncode == 1
    assert "Resolve conflict 1 in this way? [y/N]" in ended.stdout
    assert [conflict["state"] for conflict in listed(open_contest.api)] == ["open"]


def test_with_o_json_the_question_is_on_stderr(contest: Contest) -> None:
    ended = run_to_end(
        "manmanv2",
        *("conflicts", "resolve", "1", "--adopt", "-o", "json"),
        stdin="y\n",
        API_ADDRESS=contest.api.address,
    )

    assert "Resolve conflict 1 in this way?" in ended.stderr
    resolved = json.loads(ended.stdout)
    assert (resolved["state"], resolved["resolution"]) == ("resolved", "adopt")
    assert listed(contest.api, "--state", "resolved")[0]["conflict_id"] == 1
    assert "resolved by adopt" in printed_by(contest.api, "conflicts", "show", "1")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (["9", "--adopt", "--yes"], 66, "manmanv2: conflict 9 does not exist\n"),
        (["1", "--rename", "web"], 65, "new_name is the name in conflict: choose another"),
        (["1"], 2, "Give exactly one of --adopt, --rename NAME and --evict."),
        (["1", "--adopt", "--evict"], 2, "Give exactly one of --adopt, --rename NAME and --evict."),
    ],
)
def test_an_error_is_one_sentence_and_an_exit_code(
    open_contest: Contest, arguments: list[str], exit_code: int, sentence: str
) -> None:
    ended = run_to_end(
        "manmanv2", "conflicts", "resolve", *arguments, API_ADDRESS=open_contest.api.address
    )

    assert (ended.returncode, ended.stdout) == (exit_code, "")
    assert sentence in ended.stderr


def test_a_resolved_conflict_is_refused_without_a_question(contest: Contest) -> None:
    printed_by(contest.api, "conflicts", "resolve", "1", "--rename", "web-2")
    ended = run_to_end(
        "manmanv2", "conflicts", "resolve", "1", "--adopt", API_ADDRESS=contest.api.address
    )

    assert ended.returncode == 69
    assert ended.stderr == "manmanv2: conflict 1 is already resolved\n"


def test_in_warn_mode_both_are_admitted_and_the_dry_run_lists_it(
    start_api: StartApi, start_host: StartHost, machines: tuple[FakeMachine, FakeMachine]
) -> None:
    api = start_api("memory://", ENFORCEMENT="name-conflict=warn", METRICS_ADDRESS="127.0.0.1:0")
    for machine in machines:
        host = start_host(api.address, SERVER_NAME="web", **machine.settings)
        host.wait_until_logged("Registered as server 1")
    printed = printed_by(api, "audit", "dry-run")
    [entry] = json.loads(printed_by(api, "audit", "dry-run", "-o", "json"))

    assert printed.splitlines()[1].split()[:4] == ["name-conflict", "1", "web", "1"]
    assert (entry["switch"], entry["server_id"], entry["count"]) == ("name-conflict", 1, 1)
    assert "'web' is held by server 1" in entry["reason"]
    assert listed(api) == []
    counted = 'manmanv2_dry_run_refusals_total{switch="name-conflict"}'
    assert ManagementServer(api).value(counted) == 1


def test_a_decision_outlives_the_api(
    postgres_url: str,
    start_api: StartApi,
    start_host: StartHost,
    machines: tuple[FakeMachine, FakeMachine],
) -> None:
    first = start_api(postgres_url)
    holder = start_host(first.address, SERVER_NAME="web", **machines[0].settings)
    holder.wait_until_logged("Registered as server 1")
    challenger = start_host(first.address, SERVER_NAME="web", **machines[1].settings)
    challenger.wait_until_logged(KEEPS_TRYING)
    printed_by(first, "conflicts", "resolve", "1", "--adopt", "--yes")
    first.kill()
    start_api(postgres_url, address=first.address)

    challenger.wait_until_logged("Registered as server 1")
    assert holder.wait() == 75
