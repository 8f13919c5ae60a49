"""Prints a new private key in PEM and a signing request for it, for the process that started this.

What it needs is loaded here and not there: a host manager that goes on for months saves 12 MB.
"""

import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def main() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # Whom it is for is said by whoever issues the certificate.
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    sys.stdout.buffer.write(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + request.public_bytes(Encoding.PEM)
    )


if __name__ == "__main__":
    main()
