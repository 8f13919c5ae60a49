from pathlib import Path

import pytest

from adapters.system.container_detection import runs_in_container


@pytest.mark.parametrize("marker", [".dockerenv", "run/.containerenv"])
def test_a_container_is_detected_by_the_marker_file_of_its_engine(
    marker: str, tmp_path: Path
) -> None:
    (tmp_path / marker).parent.mkdir(exist_ok=True)
    (tmp_path / marker).touch()

    assert runs_in_container(tmp_path)


@pytest.mark.parametrize(
    ("group", "in_container"),
    [
        ("12:cpu:/docker/0123456789abcdef", True),
        ("0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-0123.scope", True),
        ("0::/../../kubepods/besteffort/pod1/0123", True),
        ("0::/machine.slice/libpod-0123.scope", True),
        ("0::/system.slice/manmanv2-host.service", False),
        ("0::/user.slice/user-1000.slice/session-1.scope", False),
        ("0::/", False),
    ],
)
def test_a_container_is_detected_by_its_control_group(
    group: str, in_container: bool, tmp_path: Path
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{group}\n")

    assert runs_in_container(tmp_path) is in_container


def test_a_system_without_control_groups_is_not_a_container(tmp_path: Path) -> None:
    assert not runs_in_container(tmp_path)
