"""The one table from what went wrong with a broker to what an operator is told."""

import errno
import re
import socket
import ssl
from collections.abc import Sequence

from amqp import exceptions

from application.ports.diagnosis import Diagnosis

_CLOSES = Diagnosis(
    "closes the connection",
    "check that it runs well, that the port is its AMQP port, and whether it wants amqps://",
)
_Kind = type[Exception] | tuple[type[Exception], ...]

# What went wrong, what `_detail` says of it, and what an operator is told: the first that fits.
_TABLE: Sequence[tuple[_Kind, str, Diagnosis]] = (
    # What the broker answers. Who is about to log in has called no method yet.
    (exceptions.AccessRefused, "^$", Diagnosis("refuses this user or password")),
    (
        exceptions.AccessRefused,
        "",
        Diagnosis(
            "does not let this user do what is needed", "permit it to configure, write and read"
        ),
    ),
    (exceptions.NotAllowed, "", Diagnosis("has no such virtual host, or this user may not use it")),
    (exceptions.NotFound, "", Diagnosis("has lost an exchange or a queue that is needed")),
    (
        exceptions.PreconditionFailed,
        "declare",
        Diagnosis(
            "has an exchange or a queue of ours with other properties", "delete it, it is made anew"
        ),
    ),
    (
        exceptions.ResourceLocked,
        "",
        Diagnosis("has a queue that another connection keeps for itself"),
    ),
    (
        exceptions.MessageNacked,
        "",
        Diagnosis("refuses a message", "a queue is full, or its log says why"),
    ),
    (exceptions.Blocked, "", Diagnosis("is short of memory or disk and takes no messages")),
    (
        (
            exceptions.FrameError,
            exceptions.FrameSyntaxError,
            exceptions.UnexpectedFrame,
            exceptions.AMQPNotImplementedError,
        ),
        "",
        Diagnosis(
            "does not speak AMQP on that port", "its AMQP port is mostly 5672, or 5671 for amqps://"
        ),
    ),
    # What TLS says.
    (
        ssl.SSLCertVerificationError,
        "mismatch|not valid for",
        Diagnosis("shows a certificate for another name", "use the name that it is made out to"),
    ),
    (
        ssl.SSLCertVerificationError,
        "expired|not yet valid",
        Diagnosis(
            "shows a certificate that is not valid now", "renew it, or set this machine's clock"
        ),
    ),
    (
        ssl.SSLCertVerificationError,
        "",
        (
            Diagnosis(
                "shows a certificate of a CA that is not trusted here",
                "set RABBITMQ_CA_CERT_PATH to that CA's certificate",
            )
        ),
    ),
    (
        ssl.SSLError,
        "ALERT",
        (
            Diagnosis(
                "refuses to speak TLS with this machine: its log says why",
                "it must not insist on a certificate of the client",
                separator="; ",
            )
        ),
    ),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), "", _CLOSES),
    (
        ssl.SSLError,
        "",
        Diagnosis("does not speak TLS on that port", "amqps:// needs its TLS port, mostly 5671"),
    ),
    # What the network says.
    (
        TimeoutError,
        "",
        (
            Diagnosis(
                "does not answer in time",
                "check that it is well, that the port is its AMQP port and that no firewall is"
                " between",
            )
        ),
    ),
    (
        socket.gaierror,
        "",
        Diagnosis(
            "is not found: its name does not resolve",
            "check RABBITMQ_URL and the name service",
            separator="; ",
        ),
    ),
    (
        ConnectionRefusedError,
        "",
        Diagnosis(
            "is not there: nothing listens on that port", "check that it runs", separator="; "
        ),
    ),
    (
        OSError,
        "UNREACH|ENETDOWN|EADDRNOTAVAIL|EACCES|EPERM",
        Diagnosis("cannot be reached from here", "check its address and this machine's network"),
    ),
    (Exception, "", _CLOSES),
)


def why_unavailable(error: BaseException) -> Diagnosis:
    """How the sentence "The broker at HOST:PORT …" goes on; no words of a driver are in it."""
    # A write that took too long is an error of py-amqp's own.
    cause = error.__context__ if isinstance(error.__context__, TimeoutError) else error
    return next(
        why
        for kind, detail, why in _TABLE
        if isinstance(cause, kind) and re.search(detail, _detail(cause))
    )


def _detail(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError():
            return error.reason or ""
        case exceptions.AMQPError():
            return str(error.method_name)
        case OSError():
            return errno.errorcode.get(error.errno or 0, "")
    return ""
