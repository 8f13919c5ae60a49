from adapters.system.files.key_file import KeyFile
from application.ports.registration_keys import RegistrationKeys
from entrypoints.settings import REGISTRATION_KEY_FILE, Secret, SecretsInFile


def make_registration_keys(
    registration_key: Secret | None, *, reload_seconds: float = 1.0
) -> RegistrationKeys:
    """A key in the environment never changes. Keys in a file are read again when the file
    changes."""
    if isinstance(registration_key, SecretsInFile):
        return KeyFile(
            REGISTRATION_KEY_FILE,
            registration_key.path,
            registration_key.reveal_all(),
            reload_seconds,
        )
    keys = (registration_key.reveal(),) if registration_key else ()
    return lambda: keys
