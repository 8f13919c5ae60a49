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
from application.ports.host.authority_folder import AuthorityFolder, KnownAuthority
from domain.keys import JOIN_KEY, PlaintextKey
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub

_log = logging.getLogger(__name__)

_MAX_AUTHORITIES = 100
_NOT_THROUGH = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class AuthorityMismatch(Exception):
    """Who answers is not the API that the holder of a join key means. The message is a sentence."""


@dataclass
class ApiTrust:
    """By which authorities the API at host:port is known.

    By the CAs that are given with `tls`, else by the authority that a join key names, else by the
    one that is kept since then, else by the CAs of the machine. `seconds` bounds one call.
    """

    address: str
    tls: Tls | None
    # None keeps nothing.
    folder: AuthorityFolder | None = None
    seconds: float = 5.0
    # What the last connection was made by.
    in_use: Tls | None = field(init=False)
    _known: KnownAuthority | None = field(init=False, default=None)
    _is_read: bool = field(init=False, default=False)
    _trouble: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(
            _log, "By which authority the API is known can be kept in STATE_DIR again."
        ),
    )

    def __post_init__(self) -> None:
        self.in_use = self.tls

    @property
    def is_by_authority(self) -> bool:
        """Whether it rests on what a join key once said."""
        return self._goes_by_authority() and self._known is not None

    def tls_for(self, key: str = "") -> Tls | None:
        """How to speak with the API in a call that shows the key, if any.

        Raises AuthorityMismatch and grpc.RpcError; by then the key was not sent.
        """
        shown = PlaintextKey.parse(key, JOIN_KEY)
        pinned = shown.authority_digest if shown else ""
        if shown and pinned and self.tls is None:
            raise AuthorityMismatch(
                f"The join key {shown.key_id} says by which authority the API is known, and nobody"
                f" is known without TLS: set API_ADDRESS to https://{self.address}."
            )
        if not self._goes_by_authority():
            self.in_use = self.tls
            return self.tls
        known = self._read()
        if shown and pinned and not (known and _matches_pin(pinned, known)):
            known = KnownAuthority(pinned, self._meet(shown))
            self._keep(known)
        assert self.tls
        self.in_use = (
            replace(self.tls, certificates=known.certificates.encode()) if known else self.tls
        )
        return self.in_use

    def learn(self, ask: Callable[[], str]) -> None:
        """Go on by the authorities that the API tells of over a connection that is trusted.

        So hosts know the next authority before the last one goes.
        """
        known = self._known
        if not self._goes_by_authority() or known is None:
            return
        told = _readable(ask())
        if not told or told == known.certificates:
            return
        assert self.tls
        if diagnose_tls(self.address, replace(self.tls, certificates=told.encode())):
            _log.warning(
                "The API at %s (API_ADDRESS) shows a certificate of none of its own authorities:"
                " this host goes on by those that it knows; give the API a certificate of one in"
                " CA_CERT_PATH.",
                self.address,
            )
            return
        self._keep(replace(known, certificates=told))
        _log.info("The API has other authorities: this host knows it by them from now on.")

    def _goes_by_authority(self) -> bool:
        return self.tls is not None and not self.tls.ca_file and not self.tls.certificates

    def _meet(self, shown: PlaintextKey) -> str:
        """The authority that the key names, in PEM, as the API itself has it."""
        assert self.tls
        host = self.address.rpartition(":")[0].strip("[]")
        name = self.tls.server_name or host
        self.in_use = unverified_tls(self.address, name)
        try:
            with open_channel(self.address, self.in_use) as channel:
                bundle: pb.GetTrustBundleResponse = ManManAPIStub(channel).GetTrustBundle(
                    pb.GetTrustBundleRequest(), timeout=self.seconds
                )
        except grpc.RpcError as error:
            if error.code() in _NOT_THROUGH:
                raise
            # Whatever is said, it is not known by whom.
            raise AuthorityMismatch(
                f"The API at {self.address} (API_ADDRESS) tells of no authority by which it is"
                f" known, and the join key {shown.key_id} names one: have the API's CA_CERT_PATH"
                " and CA_KEY_PATH set, or set API_CA_CERT_PATH here."
            ) from error
        for certificate in certificates_in(bundle.certificates)[:_MAX_AUTHORITIES]:
            if _digest(certificate) == shown.authority_digest:
                return f"{certificate}\n"
        raise AuthorityMismatch(
            f"The API at {self.address} (API_ADDRESS) is known by another authority than the join"
            f" key {shown.key_id} says, so the key is not sent: use a key of that API, or see who"
            " answers there in its place."
        )

    def _read(self) -> KnownAuthority | None:
        if self.folder and not self._is_read:
            try:
                kept = self.folder.read()
            except OSError as error:
                self._tell(error)
            else:
                self._known, self._is_read = kept, True
        return self._known

    def _keep(self, known: KnownAuthority) -> None:
        self._known, self._is_read = known, True
        if self.folder is None:
            return
        try:
            self.folder.write(known)
        except OSError as error:
            self._tell(error)
        else:
            self._trouble.ends()

    def _tell(self, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self._trouble.failed(
            f"By which authority the API is known cannot be kept in STATE_DIR ({reason}): mend the"
            " folder or its permissions. The next start goes by the join key again."
        )


def _matches_pin(authority_digest: str, known: KnownAuthority) -> bool:
    """Also to authorities that have followed the one that the key was made with."""
    return authority_digest == known.authority_digest or authority_digest in map(
        _digest, certificates_in(known.certificates)
    )


def _digest(certificate: str) -> str:
    try:
        return sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    except ValueError:
        return ""


def _readable(pem: str) -> str:
    """The certificates alone; empty when one of them cannot be read."""
    certificates = certificates_in(pem)[:_MAX_AUTHORITIES]
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata="\n".join(certificates) or "none"
        )
    except (ssl.SSLError, ValueError):
        return ""
    return "".join(f"{certificate}\n" for certificate in certificates)
