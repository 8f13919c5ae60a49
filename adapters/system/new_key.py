import secrets

from domain.keys import ID_ALPHABET, ID_LENGTH, SECRET_BYTES, PlaintextKey


def new_key(kind: str) -> PlaintextKey:
    return PlaintextKey(f"{kind}-{new_serial()}", secrets.token_urlsafe(SECRET_BYTES))


def new_serial() -> str:
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))
