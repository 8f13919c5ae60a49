"""The environment variables in the deployment files: a misspelled one would have no effect."""

import re
from collections.abc import Callable, Iterator
from dataclasses import fields

import pytest
import yaml

from entrypoints.api.settings import ApiSettings
from entrypoints.host.settings import HostSettings
from entrypoints.settings import ServiceSettings
from tests.support.deploy.manifests import DEPLOY, OVERLAYS, rendered

SETTINGS: dict[str, type[ServiceSettings]] = {"api": ApiSettings, "host": HostSettings}
Variables = tuple[str, str, dict[str, str]]


def in_kubernetes() -> Iterator[Variables]:
    for overlay in OVERLAYS:
        for pod in rendered(overlay).pods():
            for container in pod["spec"]["containers"]:
                values = {each["name"]: each.get("value", "") for each in container["env"]}
                yield f"overlays/{overlay}", container["image"], values


def in_compose() -> Iterator[Variables]:
    compose = yaml.safe_load((DEPLOY.parent / "docker/compose.yaml").read_text())
    for name, service in compose["services"].items():
        if "manmanv2" in service["image"]:
            yield f"compose.yaml, {name}", service["image"], service["environment"]


def in_systemd() -> Iterator[Variables]:
    for name, line in (
        ("manmanv2-host.service", r"^Environment=(\w+)=(.*)$"),
        # Including the examples that are commented out.
        ("host.env", r"^#?(\w+)=(.*)$"),
    ):
        text = (DEPLOY / "systemd" / name).read_text()
        variables = re.findall(line, text, re.MULTILINE)
        assert variables
        yield name, "manmanv2-host:", dict(variables)


@pytest.mark.parametrize("source", [in_kubernetes, in_compose, in_systemd])
def test_every_variable_is_one_of_our_settings(source: Callable[[], Iterator[Variables]]) -> None:
    for where, image, variables in source():
        [component] = (name for name in SETTINGS if f"manmanv2-{name}:" in image)
        referred_to = set(re.findall(r"\$\((\w+)\)", str(variables)))
        unknown = variables.keys() - names_of(SETTINGS[component]) - referred_to

        assert unknown == set(), where


@pytest.mark.parametrize("source", [in_kubernetes, in_compose])
def test_secrets_are_passed_in_files(source: Callable[[], Iterator[Variables]]) -> None:
    for where, _, variables in source():
        for settings in SETTINGS.values():
            assert variables.keys().isdisjoint(secret_names(settings)), where


def names_of(settings: type[ServiceSettings]) -> set[str]:
    names = {each.name.upper() for each in fields(settings)}
    others = {name for each in fields(settings) for name in each.metadata["aliases"]}
    return names | others | {f"{name}_FILE" for name in secret_names(settings)}


def secret_names(settings: type[ServiceSettings]) -> set[str]:
    return {each.name.upper() for each in fields(settings) if each.metadata["in_file"]}
