"""What can go wrong, in the words of the domain: errors that carry data and read as sentences."""

import math
from typing import Self

from domain.role import Role


class ManManError(Exception):
    """Base of every error that a caller may be told about."""

    @classmethod
    def from_message(cls, message: str) -> Self:
        """The same error as it arrived from another process: the sentence, and no data."""
        error = cls.__new__(cls)
        error.args = (message,)
        return error


def as_sentence(error: Exception) -> str:
    """What an error says, as a sentence among others."""
    said = str(error)
    return f"{said[:1].upper()}{said[1:].removesuffix('.')}."


class InvalidField(ManManError):
    """A field of a request is against the rules.

    `field` is its path in the wire contract, as `capabilities.cpu_cores`.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class InvalidRegistrationKey(ManManError):
    """The registration key is missing or another one than the configured."""

    def __init__(self) -> None:
        super().__init__("invalid registration key")


class CredentialRequired(ManManError):
    """A call does not show a good credential of the server that it speaks for."""

    def __init__(self, server_id: int) -> None:
        super().__init__(
            f"calls of server {server_id} must show the server's own credential: register"
            " again to get one"
        )
        self.server_id = server_id


class CertificateRequired(ManManError):
    """A call for a server does not show that server's certificate."""

    def __init__(self, server_id: int) -> None:
        super().__init__(
            f"calls of server {server_id} must show the server's own certificate: register again"
            " with a signing request to get one, and call the port for certificates"
        )
        self.server_id = server_id


class CertificateMismatch(ManManError):
    """A call for one server shows the certificate of another."""

    def __init__(self, certified_server_id: int, server_id: int) -> None:
        super().__init__(
            f"this is the certificate of server {certified_server_id}, which does not speak for"
            f" server {server_id}"
        )
        self.certified_server_id = certified_server_id
        self.server_id = server_id


class NoCertificatesIssued(ManManError):
    """What is asked for needs an authority, and the API has none."""

    def __init__(self) -> None:
        super().__init__(
            "this API issues no certificates: set CA_CERT_PATH and CA_KEY_PATH on it, as made by"
            " `manmanv2 ca init`"
        )


class CertificateNotFromOwnCA(ManManError):
    """Hosts are to know the API by its authority, and it shows a certificate of another."""

    def __init__(self) -> None:
        super().__init__(
            "hosts would not know this API by its authority (CA_CERT_PATH), which did not issue the"
            " certificate in TLS_CERT_PATH: put one there that `manmanv2 ca issue` makes, or leave"
            " the authority out of the key"
        )


class ServerNotFound(ManManError):
    """No server has this id."""

    def __init__(self, server_id: int) -> None:
        super().__init__(f"server {server_id} does not exist")
        self.server_id = server_id


class NameInUse(ManManError):
    """Another machine claims the name of a server whose host is alive, or one that an operator
    gave to a machine which has not joined yet: then there is no server. `why` names the holder,
    what differs and the cure.
    """

    def __init__(self, name: str, server_id: int | None, why: str) -> None:
        held = f"held by server {server_id}" if server_id else "kept for another machine"
        super().__init__(f"the name {name!r} is {held}, {why}")
        self.name = name
        self.server_id = server_id


class SupersededRegistration(ManManError):
    """A process speaks for a server that was registered again by a later one."""

    def __init__(self, server_id: int, by: str) -> None:
        super().__init__(f"server {server_id} was registered again by {by}")
        self.server_id = server_id


class NotAdmitted(ManManError):
    """An operator refuses this server or its machine. `why` is the rest of a sentence."""

    def __init__(self, who: str, why: str, server_id: int | None = None) -> None:
        super().__init__(f"{who} {why}")
        self.server_id = server_id


class ServerIsOnline(ManManError):
    """A server that is alive is to be deleted, and nobody said that this is meant."""

    def __init__(self, server_id: int, cure: str = "stop its host, or use force (--force)") -> None:
        super().__init__(f"server {server_id} is online: {cure}")
        self.server_id = server_id


class ServerNotApproved(ManManError):
    """What is asked for is for approved servers only."""

    def __init__(self, server_id: int, approval: str) -> None:
        super().__init__(f"server {server_id} is {approval}: approve it first")
        self.server_id = server_id
        self.approval = approval


class DeletedServerNotFound(ManManError):
    """No server of this id can be restored."""

    def __init__(self, server_id: int) -> None:
        super().__init__(f"no deleted server {server_id} is kept")
        self.server_id = server_id


class ConflictNotFound(ManManError):
    """No conflict has this id."""

    def __init__(self, conflict_id: int) -> None:
        super().__init__(f"conflict {conflict_id} does not exist")
        self.conflict_id = conflict_id


class ConflictAlreadyResolved(ManManError):
    """The conflict was settled already."""

    def __init__(self, conflict_id: int, state: str) -> None:
        super().__init__(f"conflict {conflict_id} is {state} already")
        self.conflict_id = conflict_id
        self.state = state


class ServerNameTaken(ManManError):
    """Another server has this name. `cure` says what to do about it."""

    def __init__(self, name: str, cure: str = "") -> None:
        exists = f"a server named {name!r} exists already"
        super().__init__(f"{exists}: {cure}" if cure else exists)
        self.name = name


class SelectorConfigurationNotFound(ManManError):
    """No document of this name hangs on this selector."""

    def __init__(self, selector: str, name: str) -> None:
        super().__init__(f"the selector {selector!r} has no configuration named {name!r}")
        self.selector = selector
        self.name = name


class ConfigurationNotFound(ManManError):
    """The server has no document of this name."""

    def __init__(self, server_id: int, name: str) -> None:
        super().__init__(f"server {server_id} has no configuration named {name!r}")
        self.server_id = server_id
        self.name = name


class JoinKeyNotFound(ManManError):
    """No join key has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no join key {key_id}")
        self.key_id = key_id


class OperatorKeyNotFound(ManManError):
    """No operator's key has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no operator's key {key_id}")
        self.key_id = key_id


class JoinKeyRefused(NotAdmitted):
    """A join key that is known, and shown with its secret, does not admit this host. `why` is the
    rest of a sentence.
    """

    def __init__(self, key_id: str, why: str) -> None:
        super().__init__(f"the join key {key_id}", why)
        self.key_id = key_id


class LocalOperatorsOnly(ManManError):
    """An operators' call from another machine, and no key by which to let it in."""

    def __init__(self) -> None:
        super().__init__(
            "operators' calls are answered on this machine only, until the API has an OPERATOR_KEY"
            " or a key of an admin"
        )


class OperatorKeyRequired(ManManError):
    """An operators' call without a key, where one is needed."""

    def __init__(self) -> None:
        super().__init__(
            "operators' calls need an operator's key as a bearer token: set OPERATOR_KEY for the"
            " command"
        )


class OperatorKeyRefused(ManManError):
    """An operator's key that is unknown, expired or revoked, or has another secret; an OIDC
    provider's token that is not good."""

    def __init__(self) -> None:
        super().__init__(
            "the operator's key or token that was sent is not valid: it is mistyped, expired,"
            " revoked or of another API"
        )


class NotAnOperator(ManManError):
    """An OIDC provider's token is good, and its claims make nobody an operator. `problem`
    completes a sentence about the claim."""

    def __init__(self, claim: str, problem: str) -> None:
        super().__init__(
            f"the token that was sent makes nobody an operator: its claim {claim} {problem}"
        )
        self.claim = claim
        self.problem = problem


class OperatorCertificateRefused(ManManError):
    """An operator's certificate that is unknown, expired or revoked."""

    def __init__(self) -> None:
        super().__init__(
            "the operator's certificate that was shown is of no use any more: it is expired,"
            " revoked or of another API"
        )


class RoleTooLow(ManManError):
    """An operators' call that needs a higher role than the caller has."""

    def __init__(self, needed: Role, has: Role) -> None:
        super().__init__(f"this call needs the role {needed}, and this operator has the role {has}")
        self.needed_role = needed
        self.role = has


class TooManyCalls(ManManError):
    """Whoever calls is over a limit. `whose` completes the sentence; times are seconds."""

    def __init__(self, whose: str, retry_after: float) -> None:
        self.retry_after_seconds = max(1, math.ceil(retry_after))
        super().__init__(f"too many calls {whose}, try again in {self.retry_after_seconds} s")
