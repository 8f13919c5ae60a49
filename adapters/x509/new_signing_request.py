from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.x509.certificates import key_as_pem, new_key, signature_hash


def new_signing_request() -> tuple[str, bytes]:
    """A new key in PEM, and a PKCS #10 request for it in DER.

    The request contains nothing else: the issuer decides whose certificate it becomes.
    """
    key = new_key()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return key_as_pem(key), request.sign(key, signature_hash(key)).public_bytes(Encoding.DER)
