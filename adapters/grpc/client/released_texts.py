"""The error texts that this code compares: those that a released API sends without a reason.

They are frozen. Every other text of an error may be rewritten, and is never compared.
"""

from collections.abc import Mapping

import grpc

from adapters.grpc.messages.error_reasons import Reason, reason_of

# From the specification. NOT_ADMITTED has the same status code.
_INVALID_REGISTRATION_KEY = "invalid registration key"
# OPERATOR_KEY_REFUSED has the same status code.
_OPERATOR_KEY_REQUIRED = (
    "operators' calls need an operator's key as a bearer token: set OPERATOR_KEY for the command"
)

RELEASED_TEXTS: Mapping[tuple[grpc.StatusCode, str], Reason] = {
    (
        grpc.StatusCode.PERMISSION_DENIED,
        _INVALID_REGISTRATION_KEY,
    ): Reason.INVALID_REGISTRATION_KEY,
    (grpc.StatusCode.UNAUTHENTICATED, _OPERATOR_KEY_REQUIRED): Reason.OPERATOR_KEY_REQUIRED,
}


def reason_in(error: grpc.RpcError) -> str:
    """The error's reason; without one, the reason that its released text means, or empty."""
    return reason_of(error) or RELEASED_TEXTS.get((error.code(), error.details() or ""), "")
