"""The contents of the images."""

import pytest

from tests.support.stack.images import COMMIT, CREATED, Images

OURS = ("api", "host")


def image(images: Images, name: str) -> str:
    return images.api if name == "api" else images.host


def output(images: Images, name: str, *command: str) -> str:
    """The output of a program in a container that can write no file and has no network."""
    program, *arguments = command
    return images.docker(
        *("run", "--rm", "--read-only", "--network", "none", "--cap-drop", "ALL"),
        *("--entrypoint", program, image(images, name), *arguments),
    )


@pytest.mark.parametrize("name", OURS)
def test_an_image_says_what_it_was_built_from(images: Images, name: str) -> None:
    labels = images.docker.inspect(image(images, name))[0]["Config"]["Labels"]
    version = labels["org.opencontainers.image.version"]

    assert output(images, name, f"manmanv2-{name}", "--version") == (
        f"manmanv2-{name} {version} ({COMMIT})\n"
    )
    assert labels["org.opencontainers.image.title"] == f"manmanv2-{name}"
    assert labels["org.opencontainers.image.description"]
    assert labels["org.opencontainers.image.revision"] == COMMIT
    assert labels["org.opencontainers.image.created"] == CREATED


@pytest.mark.parametrize("name", OURS)
def test_an_image_runs_as_a_user_who_is_not_root(images: Images, name: str) -> None:
    config = images.docker.inspect(image(images, name))[0]["Config"]

    assert config["User"] == "10001:10001"
    assert output(images, name, "id", "--user") == "10001\n"
    assert config["StopSignal"] == "SIGTERM"


@pytest.mark.parametrize("name", OURS)
def test_an_image_contains_no_installer_and_no_compiler(images: Images, name: str) -> None:
    programs = output(images, name, "sh", "-c", "command -v pip pip3 gcc cc ld; true")
    pip = output(images, name, "sh", "-c", "python3 -m pip --version 2>&1; true")

    assert programs == ""
    assert "No module named pip" in pip


@pytest.mark.parametrize("name", OURS)
def test_a_start_compiles_nothing(images: Images, name: str) -> None:
    script = (
        f"python3 -v /opt/manmanv2/bin/manmanv2-{name} --version 2>&1 | grep 'code object from'"
    )
    loaded = output(images, name, "sh", "-c", script).splitlines()
    compiled = [line for line in loaded if ".pyc" not in line and "/bin/manmanv2" not in line]

    assert loaded
    assert compiled == []


def test_operators_find_their_command_in_the_apis_image(images: Images) -> None:
    assert output(images, "api", "manmanv2", "--version").startswith("manmanv2 ")


def test_the_hosts_image_has_no_database_driver_and_no_token_library(
    images: Images,
) -> None:
    unwanted = ("jwt", "psycopg2", "sqlalchemy")
    script = f"import importlib.util as u; print([n for n in {unwanted} if u.find_spec(n)])"

    assert output(images, "host", "python3", "-c", script) == "[]\n"
