from adapters.system.files.key_file import KeyFile
from application.ports.registration_keys import RegistrationKeys
from entrypoints.settings import REGISTRATION_KEY_FILE, Secret, SecretsInFile


def make_registration_keys(
    given: Secret | None, *, look_every_seconds: float = 1.0
) -> RegistrationKeys:
    """The key that was set stays the only one; those in a file are what it holds."""
    if isinstance(given, SecretsInFile):
        return KeyFile(REGISTRATION_KEY_FILE, given.path, given.reveal_all(), look_every_seconds)
    keys = (given.reveal(),) if given else ()
    return lambda: keys
