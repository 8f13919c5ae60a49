"""A fleet whose hosts and operators use TLS."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import CertificateFiles
from tests.support.doctor import doctor
from tests.support.processes import Api, Process, eventually, free_address, run_to_end
from tests.support.scraping import ManagementServer

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    files = CertificateFiles(tmp_path)
    files.issue("127.0.0.1", "localhost")
    return files


def test_hosts_and_operators_use_tls_while_the_certificate_is_replaced(
    files: CertificateFiles, tmp_path: Path, start_api: StartApi, start_host: StartHost
) -> None:
    address, metrics = free_address(), free_address()
    settings = {"LISTEN_ADDRESS": address, "METRICS_ADDRESS": metrics, **files.variables}
    database = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
    url, trust = f"https://{address}", {"API_CA_CERT_PATH": str(files.ca_file)}

    def run(*arguments: str, **variables: str) -> tuple[int, str]:
        ended = run_to_end("manmanv2", *arguments, **variables)
        return ended.returncode, ended.stdout + ended.stderr

    api = start_api(
        database, address=address, API_WORKERS="2", METRICS_ADDRESS=metrics, **files.variables
    )
    host = start_host(url, SERVER_NAME="web1", **trust)
    host.wait_until_logged("Registered as server 1")
    well = run_to_end("manmanv2-api", "health", DATABASE_URL=database, **settings)
    listed = run("--api", url, "servers", "list", **trust)
    in_the_open = run("servers", "list", API_ADDRESS=address)
    without_the_ca = run("servers", "list", API_ADDRESS=url)
    report = doctor(API_ADDRESS=url, SERVER_NAME="web1", DOCKER_OPTIONAL="true", **trust)
    report_of_the_api = doctor("api", DATABASE_URL=database, **settings)

    ends = ManagementServer(api).samples()["manmanv2_tls_certificate_expires_timestamp_seconds"]

    assert ends > time.time() + 80 * 86400
    assert (well.returncode, well.stdout) == (0, "ok\n"), well.stderr
    assert listed[0] == 0
    assert "web1" in listed[1]
    assert in_the_open == (
        69,
        (
            f"manmanv2: the API at {address} requires TLS: set API_ADDRESS to {url}, or"
            " API_USE_TLS=true\n"
        ),
    )
    assert without_the_ca[0] == 69
    assert "has a certificate from a CA (Testing CA" in without_the_ca[1]
    assert report.outcomes["API"] == "ok"
    assert report_of_the_api.outcomes["TLS"] == report_of_the_api.outcomes["Port"] == "ok"

    # Change the CA: first let hosts trust both, then give the API a certificate of the new CA.
    old_ca = files.ca_file.read_bytes()
    files.ca = type(files.ca)()
    files.ca_file.write_bytes(old_ca + files.ca.cert_pem.bytes())
    files.issue("127.0.0.1", "localhost")
    eventually(
        lambda: api.count("TLS_CERT_PATH has changed: the certificate in use is for") == 2,
        "each worker to take the new certificate",
        api,
    )
    only_old = tmp_path / "old-ca.pem"
    only_old.write_bytes(old_ca)

    assert run("servers", "list", API_ADDRESS=url, **trust)[0] == 0
    assert run("servers", "list", API_ADDRESS=url, API_CA_CERT_PATH=str(only_old))[0] == 69
    assert host.terminate() == 0
    assert not host.logged("Trying again")


def test_a_host_with_the_wrong_ca_reports_it_once_and_joins_when_the_file_is_fixed(
    files: CertificateFiles, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://", **files.variables)
    right = files.ca_file.read_bytes()
    type(files.ca)().cert_pem.write_to_path(str(files.ca_file))
    host = start_host(
        api.address, API_USE_TLS="true", API_CA_CERT_PATH=str(files.ca_file), SERVER_NAME="web1"
    )
    message = host.wait_until_logged("Trying again")
    files.ca_file.write_bytes(right)
    host.wait_until_logged("Registered as server 1")

    assert message.startswith(f"The API at {api.address} (API_ADDRESS) has a certificate from a CA")
    assert "is not in API_CA_CERT_PATH: set API_CA_CERT_PATH to" in message
    assert host.count("Trying again") == 1


def test_an_api_whose_key_does_not_match_its_certificate_does_not_start(
    files: CertificateFiles,
) -> None:
    certificate = files.certificate.read_bytes()
    files.issue()
    files.certificate.write_bytes(certificate)
    settings = {"DATABASE_URL": "memory://", "LISTEN_ADDRESS": free_address(), **files.variables}
    ended = run_to_end("manmanv2-api", **settings)
    report = doctor("api", **settings)

    sentence = (
        f"TLS_KEY_PATH {files.key} is not the key of the certificate in TLS_CERT_PATH"
        f" {files.certificate}: set both to files that belong together"
    )
    assert (ended.returncode, ended.stderr) == (78, f"manmanv2-api: {sentence}.\n")
    assert report.of("TLS") == f"FAIL  TLS        {sentence}"
    assert report.exit_code == 78
