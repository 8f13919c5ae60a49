"""Prints a new private key in PEM and a signing request for it, for the process that starts this.

The library is loaded here and not in the host manager, which saves 12 MB there for months.
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
