import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

import grpc

from adapters.grpc.client.channel import open_channel
from adapters.grpc.tls.certificate import certificates_in
from adapters.grpc.tls.diagnosis import diagnose_tls, unverified_tls
from adapters.grpc.tls.trust import Tls
from application.host.transient_failure_log import TransientFailureLog
from application.ports.diagnosis import DiagnosedFailure
from application.ports.host.authority_folder import AuthorityFolder, KnownAuthority
from domain.keys import JOIN_KEY, PlaintextKey
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub

_log = logging.getLogger(__name__)

_MAX_AUTHORITIES = 100
_CONNECTION_CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class AuthorityMismatch(DiagnosedFailure):
    """The API that answers does not have the CA that the join key pins. The message is a
    sentence."""


@dataclass
class ApiTrust:
    """The CAs by which a host verifies the API at host:port.

    Uses the first of these that exists: the CAs in `tls`, the CA that a join key pins, the CAs
    stored since a
    join key pinned one, the machine's own CAs. `seconds` is the upper bound for one call.
    """

    address: str
    tls: Tls | None
    # None stores nothing.
    folder: AuthorityFolder | None = None
    seconds: float = 5.0
    # The TLS settings of the last connection.
    in_use: Tls | None = field(init=False)
    _known: KnownAuthority | None = field(init=False, default=None)
    _is_read: bool = field(init=False, default=False)
    _folder_failures: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(
            _log, "The API's CA can be stored in STATE_DIR again."
        ),
    )

    def __post_init__(self) -> None:
        self.in_use = self.tls

    def tls_for(self, key: str = "") -> Tls | None:
        """The TLS settings for a call that presents the key, if any.

        Raises AuthorityMismatch and grpc.RpcError before the key is sent.
        """
        presented_key = PlaintextKey.parse(key, JOIN_KEY)
        pin = presented_key.authority_digest if presented_key else ""
        if presented_key and pin and self.tls is None:
            raise AuthorityMismatch(
                f"The join key {presented_key.key_id} pins the API's CA, which requires TLS",
                f"set API_ADDRESS to https://{self.address}",
            )
        if not self._uses_pinned_authority():
            self.in_use = self.tls
            return self.tls
        known = self._read()
        if presented_key and pin and not (known and _matches_pin(pin, known)):
            known = KnownAuthority(pin, self._bootstrap_from_pin(presented_key))
            self._store(known)
        assert self.tls
        self.in_use = (
            replace(self.tls, certificates=known.certificates.encode()) if known else self.tls
        )
        return self.in_use

    def refresh_bundle(self, fetch: Callable[[], str]) -> None:
        """Take over the CAs that the API reports over a verified connection, in PEM.

        So hosts know the next CA before the last one is removed.
        """
        known = self._known
        if not self._uses_pinned_authority() or known is None:
            return
        bundle = _readable(fetch())
        if not bundle or bundle == known.certificates:
            return
        assert self.tls
        if diagnose_tls(self.address, replace(self.tls, certificates=bundle.encode())):
            _log.warning(
                "None of the CAs that the API at %s (API_ADDRESS) reports issued its certificate,"
                " so this host keeps the CAs that it knows: give the API a certificate from a CA in"
                " its CA_CERT_PATH.",
                self.address,
            )
            return
        self._store(replace(known, certificates=bundle))
        _log.info("The API's CAs changed: this host now verifies the API by the new ones.")

    def _uses_pinned_authority(self) -> bool:
        return self.tls is not None and not self.tls.ca_file and not self.tls.certificates

    def _bootstrap_from_pin(self, presented_key: PlaintextKey) -> str:
        """The CA that the key pins, in PEM, from the bundle that the API itself sends.

        The connection is unverified: only a CA with the pinned digest is believed.
        """
        assert self.tls
        host = self.address.rpartition(":")[0].strip("[]")
        self.in_use = unverified_tls(self.address, self.tls.server_name or host)
        try:
            with open_channel(self.address, self.in_use) as channel:
                bundle: pb.GetTrustBundleResponse = ManManAPIStub(channel).GetTrustBundle(
                    pb.GetTrustBundleRequest(), timeout=self.seconds
                )
        except grpc.RpcError as error:
            if error.code() in _CONNECTION_CODES:
                raise
            # The text is not reported: the server that sent it is not verified.
            raise AuthorityMismatch(
                f"The API at {self.address} (API_ADDRESS) reports no CA, but the join"
                f" key {presented_key.key_id} pins one",
                "set CA_CERT_PATH and CA_KEY_PATH on the API, or set API_CA_CERT_PATH here",
            ) from error
        for certificate in certificates_in(bundle.certificates)[:_MAX_AUTHORITIES]:
            if _digest(certificate) == presented_key.authority_digest:
                return f"{certificate}\n"
        raise AuthorityMismatch(
            f"The API at {self.address} (API_ADDRESS) has another CA than the one"
            f" that the join key {presented_key.key_id} pins, so the key is not sent",
            "use a key of that API, or find out what answers there in its place",
        )

    def _read(self) -> KnownAuthority | None:
        if self.folder and not self._is_read:
            try:
                stored = self.folder.read()
            except OSError as error:
                self._log_folder_failure(error)
            else:
                self._known, self._is_read = stored, True
        return self._known

    def _store(self, known: KnownAuthority) -> None:
        self._known, self._is_read = known, True
        if self.folder is None:
            return
        try:
            self.folder.write(known)
        except OSError as error:
            self._log_folder_failure(error)
        else:
            self._folder_failures.recovered()

    def _log_folder_failure(self, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self._folder_failures.failed(
            f"The API's CA cannot be stored in STATE_DIR ({reason}): fix the directory or its"
            " permissions. The next start uses the join key's pin again."
        )


def _matches_pin(authority_digest: str, known: KnownAuthority) -> bool:
    """Whether the pin names a known CA: the one in use when the key was created, or a later one."""
    return authority_digest == known.authority_digest or authority_digest in map(
        _digest, certificates_in(known.certificates)
    )


def _digest(certificate: str) -> str:
    try:
        return sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    except ValueError:
        return ""


def _readable(pem: str) -> str:
    """Only the certificates of the text; empty if one of them cannot be read."""
    certificates = certificates_in(pem)[:_MAX_AUTHORITIES]
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata="\n".join(certificates) or "none"
        )
    except (ssl.SSLError, ValueError):
        return ""
    return "".join(f"{certificate}\n" for certificate in certificates)
