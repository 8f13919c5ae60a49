"""The one table from a broker's failure to a sentence for the operator."""

import errno
import re
import socket
import ssl
from collections.abc import Sequence

from amqp import exceptions

from application.ports.diagnosis import Diagnosis

_CLOSES = Diagnosis(
    "closes the connection",
    "check that it is healthy, that the port is its AMQP port, and whether it requires amqps://",
)
_Kind = type[Exception] | tuple[type[Exception], ...]

# The error's type, a pattern for its `_detail`, and the diagnosis: the first row that fits counts.
_TABLE: Sequence[tuple[_Kind, str, Diagnosis]] = (
    # Answers of the broker. A login fails before any method is called.
    (exceptions.AccessRefused, "^$", Diagnosis("refuses this user or password")),
    (
        exceptions.AccessRefused,
        "",
        Diagnosis(
            "does not give this user the needed permissions", "grant configure, write and read"
        ),
    ),
    (exceptions.NotAllowed, "", Diagnosis("has no such virtual host, or this user may not use it")),
    (exceptions.NotFound, "", Diagnosis("has lost a required exchange or queue")),
    (
        exceptions.PreconditionFailed,
        "declare",
        Diagnosis(
            "has an exchange or queue of ours with other properties",
            "delete it; it is created again",
        ),
    ),
    (
        exceptions.ResourceLocked,
        "",
        Diagnosis("has a queue that is exclusive to another connection"),
    ),
    (
        exceptions.MessageNacked,
        "",
        Diagnosis("refuses a message", "a queue is full, or see the broker's log"),
    ),
    (exceptions.Blocked, "", Diagnosis("is short of memory or disk and accepts no messages")),
    (
        (
            exceptions.FrameError,
            exceptions.FrameSyntaxError,
            exceptions.UnexpectedFrame,
            exceptions.AMQPNotImplementedError,
        ),
        "",
        Diagnosis(
            "does not speak AMQP on that port",
            "its AMQP port is usually 5672, or 5671 for amqps://",
        ),
    ),
    # Failures of TLS.
    (
        ssl.SSLCertVerificationError,
        "mismatch|not valid for",
        Diagnosis("has a certificate for another name", "use a name that the certificate contains"),
    ),
    (
        ssl.SSLCertVerificationError,
        "expired|not yet valid",
        Diagnosis(
            "has a certificate that is not valid now", "renew it, or correct this machine's clock"
        ),
    ),
    (
        ssl.SSLCertVerificationError,
        "",
        (
            Diagnosis(
                "has a certificate from a CA that is not trusted here",
                "set RABBITMQ_CA_CERT_PATH to that CA's certificate",
            )
        ),
    ),
    (
        ssl.SSLError,
        "ALERT",
        (
            Diagnosis(
                "refuses TLS with this machine: see the broker's log",
                "it must not require a client certificate",
                separator="; ",
            )
        ),
    ),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), "", _CLOSES),
    (
        ssl.SSLError,
        "",
        Diagnosis("does not speak TLS on that port", "amqps:// needs its TLS port, usually 5671"),
    ),
    # Failures of the network.
    (
        TimeoutError,
        "",
        (
            Diagnosis(
                "does not answer in time",
                "check that it is healthy, that the port is its AMQP port and that no firewall"
                " blocks it",
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


def diagnose(error: BaseException) -> Diagnosis:
    """Completes the sentence "The broker at HOST:PORT …", without any text of a driver."""
    # py-amqp reports a write that timed out as an error of its own.
    cause = error.__context__ if isinstance(error.__context__, TimeoutError) else error
    return next(
        diagnosis
        for kind, pattern, diagnosis in _TABLE
        if isinstance(cause, kind) and re.search(pattern, _detail(cause))
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
