"""The images of the stack, built on this machine from Debian's packages and from PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.repository import ROOT
from tests.support.stack.docker_command import Docker, run

HERE = Path(__file__).parent
# This release has the versions that docker/compose.yaml uses by default: Python 3.13, PostgreSQL
# 17 and RabbitMQ 4.
RELEASE = "trixie"
PACKAGES = ("python3", "python3-venv", "postgresql-17", "rabbitmq-server")
# The CAs that this machine trusts: a proxy on the way to PyPI may have its own CA.
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CREATED = "2026-01-02T03:04:05Z"


@dataclass(frozen=True)
class Images:
    """Our images, substitutes for PostgreSQL's and RabbitMQ's, and a Debian as the base of all.

    Tests must run where no image can be pulled. Removes all images at the end.
    """

    docker: Docker
    tag: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:8]}")

    @property
    def api(self) -> str:
        return f"ghcr.io/whale-net/manmanv2-api:{self.tag}"

    @property
    def host(self) -> str:
        return f"ghcr.io/whale-net/manmanv2-host:{self.tag}"

    @property
    def postgres(self) -> str:
        return f"manmanv2-postgres:{self.tag}"

    @property
    def rabbitmq(self) -> str:
        return f"manmanv2-rabbitmq:{self.tag}"

    @property
    def _debian(self) -> str:
        return f"manmanv2-debian:{self.tag}"

    def __enter__(self) -> Self:
        try:
            self._import_debian()
            self._build_base_images()
            self._build_ours()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(AssertionError):
            for image in reversed([self._debian_id(), *self._built_on(self._debian_id())]):
                # An image may already be removed together with its last child.
                with suppress(AssertionError):
                    self.docker("image", "rm", "--force", image)

    def _import_debian(self) -> None:
        assert os.geteuid() == 0, "debootstrap makes a Debian for root only: run this as root"
        with tempfile.TemporaryDirectory(prefix="manman-debian-") as folder:
            # In its own mount namespace, so that the mounts disappear if it is killed.
            run(
                *("unshare", "--mount"),
                *("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
                *(RELEASE, folder),
                environment=dict(os.environ),
            )
            for needless in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc"):
                shutil.rmtree(Path(folder, needless))
            # Python's own images have no compiled files either.
            for compiled in Path(folder).glob("usr/lib/python3*/**/__pycache__"):
                shutil.rmtree(compiled)
            Path(folder, CA_BUNDLE[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CA_BUNDLE, Path(folder, CA_BUNDLE[1:]))
            self._import(folder)

    def _import(self, folder: str) -> None:
        with subprocess.Popen(
            ["tar", "--directory", folder, "--create", "."], stdout=subprocess.PIPE
        ) as packed:
            subprocess.run(
                ["docker", "import", "--change", f"ENV PIP_CERT={CA_BUNDLE}", "-", self._debian],
                env=self.docker.environment,
                stdin=packed.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
            )

    def _build_base_images(self) -> None:
        for target in ("postgres", "rabbitmq"):
            self.docker(
                *("build", "--file", str(HERE / "base_images.Dockerfile"), "--target", target),
                *("--build-arg", f"DEBIAN={self._debian}"),
                *("--tag", f"manmanv2-{target}:{self.tag}", str(HERE)),
            )

    def _build_ours(self) -> None:
        run(
            *("make", "--directory", str(ROOT), "images"),
            *(f"IMAGE_TAG={self.tag}", f"COMMIT={COMMIT}", f"CREATED={CREATED}"),
            # Containers on the engine's own networks may have no way to the outside.
            f"BUILD_FLAGS=--network=host --build-arg BASE_IMAGE={self._debian}",
            environment=self.docker.environment,
        )

    def _debian_id(self) -> str:
        return self._ids(self._debian)[0]

    def _built_on(self, base: str) -> list[str]:
        """All images built on an image, including leftovers of builds; children after parents."""
        parents: dict[str, list[str]] = {}
        for image in self.docker.inspect(*self._ids("--all")):
            parents.setdefault(image["Parent"], []).append(image["Id"])
        images = [base]
        for image_id in images:
            images += parents.get(image_id, [])
        return images[1:]

    def _ids(self, *which: str) -> list[str]:
        return sorted(set(self.docker("image", "ls", "--quiet", "--no-trunc", *which).split()))
