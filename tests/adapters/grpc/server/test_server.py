"""The certificate of the API's server, on real connections."""

import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Self

import pytest

from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.tls.trust import Tls
from application.host.key_ring import KeyRing
from tests.support.canary_secrets import canary
from tests.support.certificates import CertificateFiles
from tests.support.processes import eventually
from tests.support.tls_api import api_over_tls, register_over_tls

KEY = canary("registration key")
A_DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("version", "is_accepted"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_only_tls_1_2_and_later_is_accepted(
    files: CertificateFiles, version: ssl.TLSVersion, is_accepted: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.ca_file)
    context.set_alpn_protocols(["h2"])
    # Without this the client itself refuses the old versions.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    accepted = False
    with (
        api_over_tls(files) as (_, address),
        socket.create_connection(("127.0.0.1", int(address.split(":")[1]))) as connection,
        contextlib.suppress(ssl.SSLError),
        context.wrap_socket(connection, server_hostname="127.0.0.1"),
    ):
        accepted = True

    assert accepted is is_accepted


def presented_at(address: str) -> str:
    host, port = address.split(":")
    return ssl.get_server_certificate((host, int(port))).strip()


def own_of(files: CertificateFiles) -> str:
    text = files.certificate.read_text()
    return text[: text.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----"


class CallsInBackground:
    """Makes a call again and again on a thread, until it fails or the block ends."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def wait_for_more(self) -> None:
        enough = self.count + 3
        eventually(lambda: self.failure or self.count >= enough, "more calls")

    def _run(self) -> None:
        try:
            while not self._done.is_set():
                self._call()
                self.count += 1
        except Exception as error:  # noqa: BLE001 - the test reads it
            self.failure = error


def test_replacing_the_certificate_fails_no_call_and_new_connections_get_it(
    files: CertificateFiles,
) -> None:
    with api_over_tls(files) as (container, address):
        certificate = container.certificate()
        assert certificate
        trusting = Tls(files.ca_file)
        presented = []
        register_over_tls(address, trusting)
        with (
            closing(GrpcControlPlane(address, KeyRing.single(KEY), tls=trusting)) as control_plane,
            CallsInBackground(lambda: register_over_tls(address, trusting)) as on_new_connections,
            CallsInBackground(lambda: control_plane.heartbeat(1, None)) as on_one_connection,
        ):
            for _ in range(5):
                files.issue()
                certificate.reload()
                presented.append((presented_at(address), own_of(files)))
                on_new_connections.wait_for_more()
                on_one_connection.wait_for_more()

    assert [on_new_connections.failure, on_one_connection.failure] == [None, None]
    assert all(certificate == written for certificate, written in presented)
    assert len({certificate for certificate, _ in presented}) == 5


def test_a_certificate_with_the_wrong_key_does_not_replace_the_current_one(
    files: CertificateFiles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with api_over_tls(files) as (container, address):
        before = own_of(files)
        certificate = container.certificate()
        assert certificate
        key = files.key.read_bytes()
        files.issue("127.0.0.1", "localhost")
        new_key = files.key.read_bytes()
        files.key.write_bytes(key)
        certificate.reload()
        certificate.reload()
        meanwhile = presented_at(address)
        files.key.write_bytes(new_key)
        certificate.reload()
        afterwards = presented_at(address)

    assert (meanwhile, afterwards) == (before, own_of(files))
    messages = [record.getMessage() for record in caplog.records]

    assert [message for message in messages if "TLS_" in message] == [
        (
            f"TLS_KEY_PATH {files.key} is not the key of the certificate in TLS_CERT_PATH"
            f" {files.certificate}: set both to files that belong together. Until then the"
            " previous certificate is in use."
        ),
        f"TLS_CERT_PATH has changed: the certificate in use is {certificate.summary()}.",
        "TLS_CERT_PATH and TLS_KEY_PATH can be used again.",
    ]


def test_the_end_of_the_certificate_in_use_is_measured(files: CertificateFiles) -> None:
    measured = []
    with api_over_tls(files) as (container, _):
        certificate = container.certificate()
        assert certificate
        for days in (30, 60):
            files.issue(ends=days * A_DAY)
            certificate.reload()
            value = container.registry().get_sample_value(
                "manmanv2_tls_certificate_expires_timestamp_seconds"
            )
            measured.append((value, certificate.current.facts.expires.timestamp()))

    assert all(value == expires for value, expires in measured)
    assert measured[1][0] != measured[0][0]
