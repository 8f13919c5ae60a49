"""Runs the commands in our documents, which must do what the documents say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.sql.migrations import upgrade
from protos.manman.v1 import manman_pb2 as pb
from tests.support.document_blocks import Block, blocks_of, documents
from tests.support.processes import Api, Process, client, free_address
from tests.support.repository import ROOT

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

TIMEOUT_SECONDS = 600
RUNNABLE = [
    document for document in documents() if any(not block.reason for block in blocks_of(document))
]


@pytest.fixture
def site(
    postgres_url: str,
    start_api: StartApi,
    start_host: StartHost,
    rabbitmq_url: str,
    tmp_path: Path,
) -> dict[str, str]:
    """The variables of a shell beside an API on PostgreSQL: server 1, web1-production, is online
    and has a document limits; 2, web2-production, and 3, web3-production, have
    never sent a heartbeat."""
    if shutil.which("psql") is None:
        pytest.skip("no psql is installed: apt-get install postgresql-client")
    api = start_api(
        postgres_url,
        address=free_address(),
        HEARTBEAT_INTERVAL_SECONDS="15",
        METRICS_ADDRESS=free_address(),
        RABBITMQ_URL=rabbitmq_url,
    )
    host = start_host(
        api.address,
        SERVER_NAME="web1-production",
        ENVIRONMENT="production",
        RABBITMQ_URL=rabbitmq_url,
    )
    host.wait_until_logged("Registered as server 1")
    with client(api.address) as stub:
        for name in ("web2-production", "web3-production"):
            stub.CreateServer(pb.CreateServerRequest(name=name, environment="production"))
        stub.PutConfiguration(
            pb.PutConfigurationRequest(server_id=1, name="limits", document='{"cpus": 4}')
        )
    watched = api.wait_until_logged("Metrics and health at").removeprefix(
        "Metrics and health at http://"
    )
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "API_ADDRESS": api.address,
        "METRICS_ADDRESS": watched.removesuffix("/metrics"),
        "DATABASE_URL": postgres_url,
        "RABBITMQ_URL": rabbitmq_url,
        "DOCKER_OPTIONAL": "true",
    }


@pytest.mark.parametrize("document", RUNNABLE, ids=lambda document: document.name)
def test_the_commands_in_a_document_work(
    document: Path, site: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "shell"
    folder.mkdir()
    (folder / "protos").symlink_to(ROOT / "protos")
    upgrade(f"sqlite:///{folder / 'manmanv2.sqlite3'}")
    failed = [
        f"{block.text}\n{printed}"
        for block in blocks_of(document)
        if not block.reason and (printed := _failure(block, site, folder))
    ]

    assert not failed, "\n\n".join(failed)


def _failure(block: Block, variables: dict[str, str], folder: Path) -> str:
    """The output of a block that failed; empty if it succeeded."""
    command = {
        "sh": ["bash", "-euo", "pipefail", "-c", block.text],
        "sql": ["psql", "-v", "ON_ERROR_STOP=1", "-c", block.text, variables["DATABASE_URL"]],
    }[block.language]
    ended = subprocess.run(
        command,
        env=variables,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    return f"exit code {ended.returncode}\n{ended.stdout}" if ended.returncode else ""
