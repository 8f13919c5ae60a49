"""The manifests of an overlay, as kubectl renders them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.support.repository import ROOT

DEPLOY = ROOT / "deploy"
OVERLAYS = sorted(path.name for path in (DEPLOY / "kubernetes/overlays").iterdir())

Manifest = Mapping[str, Any]


class Manifests:
    def __init__(self, manifests: list[Manifest]) -> None:
        self.all = manifests

    def one(self, kind: str, name: str) -> Manifest:
        [manifest] = (
            each for each in self.all if each["kind"] == kind and each["metadata"]["name"] == name
        )
        return manifest

    def pods(self) -> Iterator[Manifest]:
        """The templates of all pods."""
        for each in self.all:
            if "template" in each.get("spec", {}):
                yield each["spec"]["template"]

    def pod(self, app: str) -> Manifest:
        [manifest] = (each for each in self.pods() if each["metadata"]["labels"]["app"] == app)
        return manifest


@cache
def rendered(overlay: str, *components: str) -> Manifests:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: apt-get install kubectl, from Debian 13 on")
    with TemporaryDirectory() as folder:
        copy = Path(folder, "kubernetes")
        # A working copy may contain real secrets; leave them out.
        shutil.copytree(
            DEPLOY / "kubernetes", copy, ignore=shutil.ignore_patterns("secrets", ".gitignore")
        )
        path = copy / "overlays" / overlay
        (path / "secrets").mkdir()
        for file in secret_files(overlay):
            (path / file).write_text("nothing\n")
        kustomization = path / "kustomization.yaml"
        taken = "".join(f"  - ../../components/{component}\n" for component in components)
        if taken:
            kustomization.write_text(f"{kustomization.read_text()}components:\n{taken}")
        done = subprocess.run(
            ["kubectl", "kustomize", path], capture_output=True, text=True, check=True
        )
    return Manifests(list(yaml.safe_load_all(done.stdout)))


def secret_files(overlay: str) -> set[str]:
    """The files from which an overlay reads its secrets, as paths within it."""
    kustomization = yaml.safe_load(
        (DEPLOY / "kubernetes/overlays" / overlay / "kustomization.yaml").read_text()
    )
    return {
        file.partition("=")[2]
        for generator in kustomization["secretGenerator"]
        for file in generator["files"]
    }


def container_variables(container: Manifest, node: str, namespace: str) -> dict[str, str]:
    """A container's environment as Kubernetes builds it: $(NAME) refers to an earlier variable."""
    known_to_kubernetes = {"spec.nodeName": node, "metadata.namespace": namespace}
    variables: dict[str, str] = {}
    for variable in container["env"]:
        if "value" in variable:
            value = variable["value"]
        else:
            value = known_to_kubernetes[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        for name, known in variables.items():
            value = value.replace(f"$({name})", known)
        variables[variable["name"]] = value
    return variables
