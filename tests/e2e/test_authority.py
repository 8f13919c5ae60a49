"""An API with a CA that its operators created: the commands, and the real processes."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import grpc

from adapters.x509.inspection import inspect
from adapters.x509.new_signing_request import new_signing_request
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.canary_secrets import canary
from tests.support.certified import PresentedCertificate, reaches
from tests.support.doctor import doctor
from tests.support.processes import Api, eventually, free_address, run_to_end

StartApi = Callable[..., Api]


def made(folder: Path, *arguments: str) -> None:
    ended = run_to_end("manmanv2", "ca", *arguments, "--folder", str(folder))
    assert ended.returncode == 0, ended.stderr


def test_every_worker_recognises_operators_and_hosts_by_certificate(
    tmp_path: Path, start_api: StartApi
) -> None:
    made(tmp_path, "init")
    made(tmp_path, "issue", "localhost", "127.0.0.1")
    ca_file, ca_key = tmp_path / "ca.crt", tmp_path / "ca.key"
    # Text before the key in a PEM file is ignored; this mark shows where the file leaked.
    ca_key.write_text(f"{canary('key of the authority')}\n{ca_key.read_text()}")
    address, for_certificates = free_address(), free_address()
    settings = {
        "CA_CERT_PATH": str(ca_file),
        "CA_KEY_PATH": str(ca_key),
        "TLS_CERT_PATH": str(tmp_path / "tls.crt"),
        "TLS_KEY_PATH": str(tmp_path / "tls.key"),
        "MTLS_LISTEN_ADDRESS": for_certificates,
        "REGISTRATION_KEY_REQUIRED": "true",
        "API_WORKERS": "2",
        "LOG_LEVEL": "debug",
    }
    database = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
    api = start_api(database, address=address, **settings)
    eventually(lambda: api.count("Serving mutual-TLS clients") == 2, "both workers", api)
    root = ca_file.read_bytes()

    def run(*arguments: str, at: str = for_certificates, by: str = "") -> CompletedProcess[str]:
        own = {"API_CLIENT_CERT_PATH": str(tmp_path / by)} if by else {}
        return run_to_end(
            "manmanv2",
            *arguments,
            API_ADDRESS=f"https://{at}",
            API_CA_CERT_PATH=str(ca_file),
            **own,
        )

    def certify(name: str, role: str, *, at: str = for_certificates, by: str = "") -> str:
        arguments = ("operators", "create", name, "--role", role)
        file = str(tmp_path / f"{name}.pem")
        ended = run(*arguments, "--certificate", file, at=at, by=by)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def answers(by: str) -> set[str]:
        """Call over many connections, which the kernel spreads over the workers."""
        content = (tmp_path / by).read_bytes()
        credentials = grpc.ssl_channel_credentials(root, content, content)
        outcomes = set()
        for _ in range(20):
            of_its_own = (("grpc.use_local_subchannel_pool", 1),)
            with grpc.secure_channel(for_certificates, credentials, of_its_own) as channel:
                try:
                    ManManAPIStub(channel).ListServers(pb.ListServersRequest(), timeout=100)
                    outcomes.add("admitted")
                except grpc.RpcError as error:
                    refusal: Any = error
                    outcomes.add(refusal.code().name)
        return outcomes

    join_key = run("keys", "create", "--pin-ca", at=address).stdout.strip()
    certify("ann", "admin", at=address)
    bob = certify("bob", "viewer", by="ann.pem")
    key, signing_request = new_signing_request()
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(root)) as channel:
        joined = ManManAPIStub(channel).RegisterServer(
            pb.RegisterServerRequest(
                name="web", registration_key=join_key, signing_request=signing_request
            )
        )
    host = PresentedCertificate(joined.certificate, key)
    with grpc.secure_channel(for_certificates, host.credentials(root)) as channel:
        answer = ManManAPIStub(channel).Heartbeat(pb.HeartbeatRequest(server_id=1))

    assert answer.acknowledged
    assert joined.mutual_tls_port == int(for_certificates.rpartition(":")[2])
    assert join_key.split(".")[2] == inspect(root)[0].digest
    assert (tmp_path / "ann.pem").stat().st_mode & 0o777 == 0o600
    assert answers("bob.pem") == {"admitted"}
    assert not any(reaches(for_certificates, root, None) for _ in range(10))
    assert run("servers", "prune", "--yes", by="bob.pem").returncode == 77
    again = run(
        *("operators", "create", "bob", "--role", "viewer"),
        *("--certificate", str(tmp_path / "bob.pem")),
        by="ann.pem",
    )
    assert again.returncode == 73
    assert "already exists and is not overwritten" in again.stderr
    assert run("servers", "list", at=address, by="ann.pem").returncode == 77

    # A new certificate for the API: both workers load it, on both ports.
    made(tmp_path, "issue", "localhost", "127.0.0.1")
    eventually(
        lambda: api.count("TLS_CERT_PATH has changed: the certificate in use is for") == 2,
        "each worker to take the new certificate",
        api,
    )
    assert answers("bob.pem") == {"admitted"}

    revoked = run("operators", "revoke", bob, "--yes", by="ann.pem")
    assert revoked.stdout == f"revoked the certificate {bob} of bob (viewer)\n"
    assert answers("bob.pem") == {"UNAUTHENTICATED"}
    listed = run("operators", "list", by="ann.pem").stdout
    assert [line.split()[3] for line in listed.splitlines() if line.startswith(bob)] == ["revoked"]

    report = doctor("api", DATABASE_URL=database, LISTEN_ADDRESS=address, **settings)
    printed = run_to_end("manmanv2-api", "config", DATABASE_URL=database, **settings)
    assert report.outcomes["TLS"] == "ok"
    assert f"CA_KEY_PATH={ca_key}" in printed.stdout
    assert api.terminate() == 0


def test_an_api_whose_ca_cannot_be_used_does_not_start(tmp_path: Path) -> None:
    made(tmp_path, "init", "--lifetime", "20d")
    made(tmp_path, "issue", "localhost")
    made(tmp_path / "other", "init")
    settings = {
        "DATABASE_URL": "memory://",
        "LISTEN_ADDRESS": free_address(),
        "CA_CERT_PATH": str(tmp_path / "ca.crt"),
        "CA_KEY_PATH": str(tmp_path / "ca.key"),
        "TLS_CERT_PATH": str(tmp_path / "tls.crt"),
        "TLS_KEY_PATH": str(tmp_path / "tls.key"),
    }
    ends_soon = doctor("api", **settings).of("TLS")
    settings["CA_KEY_PATH"] = str(tmp_path / "other" / "ca.key")
    ended = run_to_end("manmanv2-api", **settings)
    report = doctor("api", **settings)

    sentence = (
        f"CA_KEY_PATH {tmp_path}/other/ca.key is not the key of the first certificate in"
        f" CA_CERT_PATH {tmp_path}/ca.crt: use a matching pair"
    )
    assert (ended.returncode, ended.stderr) == (78, f"manmanv2-api: {sentence}.\n")
    assert report.of("TLS") == f"FAIL  TLS        {sentence}"
    assert report.exit_code == 78
    assert ends_soon.startswith("warn  TLS        the CA in CA_CERT_PATH issues nothing after")
