"""The history of servers, merging two servers, and the machines that servers run on."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from protos.manman.v1 import manman_pb2 as pb
from tests.support.machines import FakeMachine
from tests.support.processes import (
    Api,
    Process,
    client,
    eventually,
    json_from,
    outcome_of,
    run_to_end,
    servers,
)
from tests.support.scraping import ManagementServer

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

GIB_OF_BOX = 16
CORES_OF_BOX = 8


def status(api: Api, name: str) -> str:
    server = servers(api.address).get(name)
    return server.status if server else ""


def happened(api: Api, server_id: int) -> list[tuple[str, str]]:
    explained = json_from(api, "servers", "explain", str(server_id))
    return [(entry["kind"], entry["cause"]) for entry in explained["history"]]


def test_explain_shows_what_happened_to_a_server(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    api = start_api(f"sqlite:///{tmp_path}/fleet.sqlite3")
    host = start_host(api.address, SERVER_NAME="web", ENVIRONMENT="dev", **machine.settings)
    eventually(lambda: status(api, "web") == "online", "the server", api, host)
    # Suspended, like a machine that hangs.
    os.kill(host.pid, signal.SIGSTOP)
    eventually(lambda: status(api, "web") == "offline", "its silence", api, host)
    os.kill(host.pid, signal.SIGCONT)
    eventually(lambda: status(api, "web") == "online", "its return", api, host)
    outcome_of(api, "configs", "put", "1", "limits", stdin="{}")
    host.terminate()
    _, output = outcome_of(api, "servers", "explain", "1")
    _, last_two = outcome_of(api, "servers", "explain", "1", "--history", "2")
    sentences, _, table = output.partition("\n\n")
    rows = [line.split("  ") for line in table.splitlines()]

    assert happened(api, 1) == [
        ("registered", "its host registered from 127.0.0.1"),
        ("online", "its host registered from 127.0.0.1"),
        ("stale", "its host was silent for longer than 3 seconds"),
        ("online", "its host was heard again"),
        ("configured", "an operator put the document limits"),
        ("offline", "its host reported that it stops"),
    ]
    assert sentences.splitlines()[0] == (
        "Server 1 is web in the environment dev: approved and offline."
    )
    assert "UTC: its host reported that it stops." in sentences
    assert "Its host has registered once, most recently from 127.0.0.1" in sentences
    assert rows[0][0].split() == ["TIME"]
    assert len(rows) == 7
    assert "its host was heard again" in table
    assert "4 earlier: --history 6 shows all." in last_two
    assert "its host was heard again" not in last_two


def test_a_renamed_machine_gets_the_data_of_its_old_server(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    api = start_api(f"sqlite:///{tmp_path}/fleet.sqlite3")
    before = start_host(api.address, SERVER_NAME="old", **machine.settings)
    eventually(lambda: status(api, "old") == "online", "the server", api, before)
    outcome_of(api, "configs", "put", "1", "limits", stdin='{"players": 16}')
    before.terminate()
    folder = tmp_path / "config"
    after = start_host(api.address, SERVER_NAME="new", CONFIG_DIR=str(folder), **machine.settings)
    eventually(lambda: status(api, "new") == "online", "the new server", api, after)
    new = servers(api.address)["new"].server_id
    _, output = outcome_of(api, "servers", "explain", str(new))
    refused = outcome_of(api, "servers", "merge", str(new), "1", "--yes")
    unsure = outcome_of(api, "servers", "merge", "1", str(new), stdin="n\n")

    assert f"`manmanv2 servers merge 1 {new}` makes them one server" in output
    assert ("recognised", 1) in [
        (kind, cause.count("merge 1")) for kind, cause in happened(api, new)
    ]
    assert refused == (
        os.EX_UNAVAILABLE,
        f"manmanv2: server {new} is online: stop its host first\n",
    )
    assert unsure[0] == 1
    assert f"Merge server 1 (old) into server {new} (new), and delete server 1? [y/N]" in unsure[1]
    assert "not known" not in unsure[1]
    assert set(servers(api.address)) == {"old", "new"}

    merged = outcome_of(api, "servers", "merge", "1", str(new), stdin="y\n")
    document = folder / "limits.json"
    eventually(document.exists, "the document", api, after)
    _, output = outcome_of(api, "servers", "explain", "1")

    assert merged[1].splitlines()[-1].endswith(f"merged server 1 into server {new} (new)")
    assert json.loads(document.read_text()) == {"players": 16}
    assert set(servers(api.address)) == {"new"}
    assert happened(api, new)[-2:] == [
        ("merged", "an operator merged server 1 (old) into it"),
        ("configured", "documents came from server 1 (old): limits"),
    ]
    assert f"an operator merged it into server {new} (new)." in output
    assert "`manmanv2 servers restore 1` restores it" in output
    assert after.terminate() == 0


def test_two_managers_on_one_box_are_one_machine(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    api = start_api("memory://", METRICS_ADDRESS="127.0.0.1:0")
    other = FakeMachine.fresh(tmp_path / "other")
    with machine.docker() as on_box, other.docker() as elsewhere:
        for name, environment, where in (
            ("web-dev", "dev", on_box),
            ("web-prod", "prod", on_box),
            ("db", "prod", elsewhere),
        ):
            start_host(
                api.address,
                SERVER_NAME=name,
                ENVIRONMENT=environment,
                DOCKER_OPTIONAL="false",
                **where,
            )
            eventually(lambda: status(api, name) == "online", name, api)  # noqa: B023 - at once
        listed = json_from(api, "machines", "list")
        _, printed = outcome_of(api, "machines", "list")
        _, output = outcome_of(api, "servers", "explain", "1")
        scraped = ManagementServer(api).samples()
    machines = {
        tuple(server["name"] for server in machine["servers"]): machine
        for machine in listed["machines"]
    }
    box = machines["web-dev", "web-prod"]

    assert machines.keys() == {("web-dev", "web-prod"), ("db",)}
    assert (box["cpu_cores"], box["total_memory_mb"]) == (CORES_OF_BOX, GIB_OF_BOX * 1024)
    assert box["servers"][0] == {"server_id": 1, "name": "web-dev", "status": "online"}
    assert listed["totals"] == {
        "machines": 2,
        "servers": 3,
        "cpu_cores": 2 * CORES_OF_BOX,
        "total_memory_mb": 2 * GIB_OF_BOX * 1024,
    }
    assert printed.splitlines()[-1] == (
        "2 machines with 3 servers, 16 CPU cores and 32.0 GiB of memory"
    )
    assert "Server 2 (web-prod) is on the same machine and online." in output
    assert scraped["manmanv2_machines"] == 2
    assert scraped["manmanv2_machines_cpu_cores"] == 2 * CORES_OF_BOX
    assert scraped["manmanv2_machines_memory_bytes"] == 2 * GIB_OF_BOX * 2**30


def test_machines_are_listed_with_their_servers_and_hardware(api: Api) -> None:
    empty = outcome_of(api, "machines", "list")
    with client(api.address) as stub:
        capabilities = pb.ServerCapabilities(
            total_memory_mb=2048, cpu_cores=1, docker_version="29.1.2"
        )
        evidence = pb.Evidence(machine_id="a" * 32, boot_id="b" * 32)
        for name, environment in (("web-dev", "dev"), ("web-prod", "prod")):
            stub.RegisterServer(
                pb.RegisterServerRequest(
                    name=name,
                    environment=environment,
                    capabilities=capabilities,
                    evidence=evidence,
                )
            )
        stub.CreateServer(pb.CreateServerRequest(name="later"))
    _, printed = outcome_of(api, "machines", "list")
    *rows, _, totals = printed.splitlines()
    listed = json_from(api, "machines", "list")

    assert empty[1].splitlines()[-1] == (
        "0 machines with 0 servers, 0 CPU cores and 0.0 GiB of memory"
    )
    assert [row.split() for row in rows] == [
        ["MACHINE", "ID", "NAME", "STATUS", "CPU", "MEMORY", "DOCKER"],
        ["1", "1", "web-dev", "online", "1", "2.0", "GiB", "29.1.2"],
        ["2", "web-prod", "online"],
        ["-", "3", "later", "offline", "-", "-", "-"],
    ]
    assert totals == "2 machines with 3 servers, 1 CPU core and 2.0 GiB of memory"
    assert listed["machines"][1] == {
        "machine": 0,
        "servers": [{"server_id": 3, "name": "later", "status": "offline"}],
        "cpu_cores": None,
        "total_memory_mb": None,
        "docker_version": None,
    }


def test_a_fleet_of_several_pages_is_counted_completely(api: Api) -> None:
    with client(api.address) as stub:
        for number in range(130):
            stub.CreateServer(pb.CreateServerRequest(name=f"box-{number}"))

    assert json_from(api, "machines", "list")["totals"]["machines"] == 130


def test_explain_shows_the_evidence_of_an_event(api: Api) -> None:
    with client(api.address) as stub:
        first = pb.Evidence(machine_id="a" * 32, hardware_id="b" * 32, boot_id="c" * 32)
        other = pb.Evidence(machine_id="a" * 32, hardware_id="d" * 32, boot_id="e" * 32)
        stub.RegisterServer(pb.RegisterServerRequest(name="web", evidence=first))
        stub.Heartbeat(pb.HeartbeatRequest(server_id=1, leaving=True))
        stub.RegisterServer(pb.RegisterServerRequest(name="web", evidence=other))
    _, printed = outcome_of(api, "servers", "explain", "1")
    entries = json_from(api, "servers", "explain", "1")["history"]
    [taken_over] = [entry for entry in entries if entry["kind"] == "taken_over"]

    assert "the same: machine-id; different: hardware id and boot id" in printed
    assert taken_over["agreeing"] == ["machine_id"]
    assert taken_over["differing"] == ["hardware_id", "boot_id"]
    assert "it was taken over: another machine registered under its name" in printed


def test_a_merge_warns_that_two_servers_may_be_on_different_machines(api: Api) -> None:
    with client(api.address) as stub:
        for name in ("old", "new"):
            stub.CreateServer(pb.CreateServerRequest(name=name))
    asked = run_to_end(
        "manmanv2",
        *("servers", "merge", "1", "2", "-o", "json"),
        stdin="y\n",
        API_ADDRESS=api.address,
    )

    assert "They are not known to be on one machine." in asked.stderr
    assert json.loads(asked.stdout)["server_id"] == 2


def test_servers_that_do_not_exist_are_neither_explained_nor_merged(api: Api) -> None:
    with client(api.address) as stub:
        stub.CreateServer(pb.CreateServerRequest(name="web"))
    missing = (os.EX_NOINPUT, "manmanv2: server 7 does not exist\n")

    assert outcome_of(api, "servers", "explain", "7") == missing
    assert outcome_of(api, "servers", "merge", "1", "7", "--yes") == missing
    assert outcome_of(api, "servers", "merge", "7", "1") == missing
    assert outcome_of(api, "servers", "merge", "1", "1", "--yes")[0] == os.EX_DATAERR
