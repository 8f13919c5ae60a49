"""Errors of the domain. Each carries its data as fields and reads as a plain sentence.

The texts of InvalidRegistrationKey and OperatorKeyRequired are frozen: released programs compare
them. All other texts may change.
"""

import math
from typing import Self

from domain.role import Role


class ManManError(Exception):
    """Base of every error that a caller may see."""

    @classmethod
    def from_message(cls, message: str) -> Self:
        """The same error as reported by another process: only the message, without any field."""
        error = cls.__new__(cls)
        error.args = (message,)
        return error


def as_sentence(error: Exception) -> str:
    """The error's message as a sentence: with a capital letter and a full stop."""
    message = str(error)
    return f"{message[:1].upper()}{message[1:].removesuffix('.')}."


class InvalidField(ManManError):
    """A field of a request is invalid.

    `field` is its path in the wire contract, for example `capabilities.cpu_cores`. `problem`
    completes a sentence that begins with the field.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class InvalidRegistrationKey(ManManError):
    """The registration key is missing or wrong."""

    def __init__(self) -> None:
        super().__init__("invalid registration key")


class CredentialRequired(ManManError):
    """A call for a server does not present a valid credential of that server."""

    def __init__(self, server_id: int) -> None:
        super().__init__(
            f"calls for server {server_id} require that server's credential: register again to"
            " get one"
        )
        self.server_id = server_id


class CertificateRequired(ManManError):
    """A call for a server does not present that server's certificate."""

    def __init__(self, server_id: int) -> None:
        super().__init__(
            f"calls for server {server_id} require that server's certificate: register again with"
            " a signing request to get one, and call the mutual-TLS port"
        )
        self.server_id = server_id


class CertificateMismatch(ManManError):
    """A call for one server presents the certificate of another."""

    def __init__(self, certified_server_id: int, server_id: int) -> None:
        super().__init__(
            f"the certificate is for server {certified_server_id}, but the call is for server"
            f" {server_id}"
        )
        self.certified_server_id = certified_server_id
        self.server_id = server_id


class NoCertificatesIssued(ManManError):
    """The call needs a certificate authority, and the API has none."""

    def __init__(self) -> None:
        super().__init__(
            "this API issues no certificates: set CA_CERT_PATH and CA_KEY_PATH on the API to the"
            " files that `manmanv2 ca init` creates"
        )


class CertificateNotFromOwnCA(ManManError):
    """Hosts should verify the API with its own CA, but another CA issued the API's certificate."""

    def __init__(self) -> None:
        super().__init__(
            "hosts could not verify this API with its own CA, because the CA in CA_CERT_PATH did"
            " not issue the certificate in TLS_CERT_PATH: replace that certificate with one from"
            " `manmanv2 ca issue`, or create the key without --pin-ca"
        )


class ServerNotFound(ManManError):
    """No server has this id."""

    def __init__(self, server_id: int) -> None:
        super().__init__(f"server {server_id} does not exist")
        self.server_id = server_id


class NameInUse(ManManError):
    """Another machine claims the name of a server whose host is alive, or a name that an operator
    assigned to a machine that has not joined yet. In the second case there is no server.

    `why` names the holder, what differs and what to do about it.
    """

    def __init__(self, name: str, server_id: int | None, why: str) -> None:
        held = f"held by server {server_id}" if server_id else "reserved for another machine"
        super().__init__(f"the name {name!r} is {held}, {why}")
        self.name = name
        self.server_id = server_id


class SupersededRegistration(ManManError):
    """A process calls for a server that another process has registered since."""

    def __init__(self, server_id: int, by: str) -> None:
        super().__init__(f"server {server_id} was registered again by {by}")
        self.server_id = server_id


class NotAdmitted(ManManError):
    """An operator refuses this server or its machine.

    `why` completes a sentence that begins with `who`.
    """

    def __init__(self, who: str, why: str, server_id: int | None = None) -> None:
        super().__init__(f"{who} {why}")
        self.server_id = server_id


class ServerIsOnline(ManManError):
    """A server that is online would be deleted, and the caller did not force it."""

    def __init__(self, server_id: int, fix: str = "stop its host, or use force (--force)") -> None:
        super().__init__(f"server {server_id} is online: {fix}")
        self.server_id = server_id


class ServerNotApproved(ManManError):
    """The call is for approved servers only."""

    def __init__(self, server_id: int, approval: str) -> None:
        super().__init__(f"server {server_id} is {approval}: approve it first")
        self.server_id = server_id
        self.approval = approval


class DeletedServerNotFound(ManManError):
    """No deleted server with this id can be restored."""

    def __init__(self, server_id: int) -> None:
        super().__init__(
            f"no deleted server has the id {server_id}; see `manmanv2 servers list --deleted`"
        )
        self.server_id = server_id


class ConflictNotFound(ManManError):
    """No conflict has this id."""

    def __init__(self, conflict_id: int) -> None:
        super().__init__(f"conflict {conflict_id} does not exist")
        self.conflict_id = conflict_id


class ConflictAlreadyResolved(ManManError):
    """The conflict is already resolved or has lapsed. `state` says which."""

    def __init__(self, conflict_id: int, state: str) -> None:
        super().__init__(f"conflict {conflict_id} is already {state}")
        self.conflict_id = conflict_id
        self.state = state


class ServerNameTaken(ManManError):
    """Another server has this name. `fix` says what to do about it."""

    def __init__(self, name: str, fix: str = "") -> None:
        exists = f"a server named {name!r} already exists"
        super().__init__(f"{exists}: {fix}" if fix else exists)
        self.name = name


class SelectorConfigurationNotFound(ManManError):
    """The selector has no document of this name."""

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
        super().__init__(f"join key {key_id} does not exist")
        self.key_id = key_id


class OperatorKeyNotFound(ManManError):
    """No operator key has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"operator key {key_id} does not exist")
        self.key_id = key_id


class JoinKeyRefused(NotAdmitted):
    """A join key is known and its secret is right, but it does not admit this host.

    `why` completes a sentence that begins with the key.
    """

    def __init__(self, key_id: str, why: str) -> None:
        super().__init__(f"the join key {key_id}", why)
        self.key_id = key_id


class LocalOperatorsOnly(ManManError):
    """An operator calls from another machine, and the API has no key that could admit the call."""

    def __init__(self) -> None:
        super().__init__(
            "this API accepts operators' calls only from its own machine until it has an"
            " OPERATOR_KEY or an admin's key"
        )


class OperatorKeyRequired(ManManError):
    """An operator calls without a key where one is required."""

    def __init__(self) -> None:
        super().__init__(
            "operators' calls need an operator's key as a bearer token: set OPERATOR_KEY for the"
            " command"
        )


class OperatorKeyRefused(ManManError):
    """The operator key is unknown, expired or revoked, or its secret is wrong; or an OIDC
    provider's token is invalid."""

    def __init__(self) -> None:
        super().__init__(
            "the operator key or token is not valid: it is mistyped, expired, revoked or for"
            " another API"
        )


class NotAnOperator(ManManError):
    """An OIDC provider's token is valid, but its claims do not make the caller an operator.

    `problem` completes a sentence that begins with the claim.
    """

    def __init__(self, claim: str, problem: str) -> None:
        super().__init__(
            f"the token is valid, but does not make the caller an operator: its claim {claim}"
            f" {problem}"
        )
        self.claim = claim
        self.problem = problem


class OperatorCertificateRefused(ManManError):
    """The operator certificate is unknown, expired or revoked."""

    def __init__(self) -> None:
        super().__init__(
            "the operator certificate is not valid: it is expired, revoked or for another API"
        )


class RoleTooLow(ManManError):
    """The call requires a higher role than the operator has."""

    def __init__(self, needed: Role, has: Role) -> None:
        super().__init__(
            f"this call requires the role {needed}, and this operator has the role {has}"
        )
        self.needed_role = needed
        self.role = has


class TooManyCalls(ManManError):
    """The caller exceeds a rate limit.

    `whose` completes a sentence that begins with "too many calls"; `retry_after` is in seconds.
    """

    def __init__(self, whose: str, retry_after: float) -> None:
        self.retry_after_seconds = max(1, math.ceil(retry_after))
        super().__init__(f"too many calls {whose}, try again in {self.retry_after_seconds} s")
