"""The Docker SDK, without a library that it would load needlessly.

Its HTTP library loads a detector of character sets if one is installed, which takes 3 of the 60 MB
of a host manager. Docker's answers are JSON and need none.
"""

import sys
import warnings
from types import ModuleType

_DETECTORS: dict[str, ModuleType | None] = dict.fromkeys(("charset_normalizer", "chardet"))

_loaded = {name: sys.modules[name] for name in _DETECTORS if name in sys.modules}
# None tells Python that a module cannot be imported.
sys.modules.update(_DETECTORS)  # type: ignore[arg-type]
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Unable to find acceptable character detection")
    import requests
    from docker import APIClient
    from docker.errors import APIError, DockerException
for _name in _DETECTORS:
    del sys.modules[_name]
sys.modules.update(_loaded)

__all__ = ["APIClient", "APIError", "DockerException", "requests"]
