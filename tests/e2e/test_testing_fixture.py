"""The fixture that other projects import."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from entrypoints.testing import RunningApi, manmanv2_api, running_api
from protos.manman.v1 import manman_pb2 as pb
from tests.support.repository import ROOT

__all__ = ["manmanv2_api"]


def status(api: RunningApi) -> str:
    return api.client.GetServer(pb.GetServerRequest(server_id=1)).server.status


def test_advancing_the_clock_sets_a_silent_server_offline(manmanv2_api: RunningApi) -> None:
    manmanv2_api.client.RegisterServer(pb.RegisterServerRequest(name="box"))
    manmanv2_api.advance(timedelta(seconds=44))
    assert status(manmanv2_api) == "online"

    manmanv2_api.advance(timedelta(seconds=2))
    assert status(manmanv2_api) == "offline"

    manmanv2_api.client.Heartbeat(pb.HeartbeatRequest(server_id=1))
    assert status(manmanv2_api) == "online"


def test_each_fixture_has_its_own_fleet() -> None:
    with running_api() as one, running_api() as other:
        one.client.RegisterServer(pb.RegisterServerRequest(name="box"))

        assert one.address != other.address
        assert not other.client.ListServers(pb.ListServersRequest()).servers


def test_another_project_can_use_the_fixture_as_documented(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "testing.md").read_text()
    code = document.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "test_theirs.py").write_text(code)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout
