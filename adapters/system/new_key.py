import secrets

from domain.keys import ID_ALPHABET, ID_LENGTH, SECRET_BYTES, ShownKey


def new_key(kind: str) -> ShownKey:
    key_id = "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))
    return ShownKey(f"{kind}-{key_id}", secrets.token_urlsafe(SECRET_BYTES))
