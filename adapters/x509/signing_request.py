"""Prints a new private key in PEM and a signing request for it, for the process that started this.

What it needs is loaded here and not there: a host manager that goes on for months saves 12 MB.
"""

import sys

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_csr

from adapters.x509.new_signing_request import new_signing_request


def main() -> None:
    key, request = new_signing_request()
    sys.stdout.buffer.write(key.encode() + load_der_x509_csr(request).public_bytes(Encoding.PEM))


if __name__ == "__main__":
    main()
