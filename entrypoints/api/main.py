import logging
import os
import sys

from entrypoints.api.database import prepare_database
from entrypoints.api.settings import ApiSettings, StoreKind
from entrypoints.api.supervisor import Supervisor
from entrypoints.api.worker import serve
from entrypoints.command import run_command

_log = logging.getLogger(__name__)


def main() -> None:
    sys.exit(run_command("manmanv2-api", "The control plane's API server.", ApiSettings, run))


def run(settings: ApiSettings) -> int:
    if settings.store_kind is StoreKind.SQL:
        prepare_database(settings.database_url.reveal())
    if settings.registration_key is None:
        _log.warning("REGISTRATION_KEY is not set: every host that reaches this API may join")
    if settings.operator_key is None:
        _log.info("OPERATOR_KEY is not set: operators are served on this machine only")
    if settings.api_workers > 1:
        Supervisor(settings).run()
    else:
        serve(settings)
    return os.EX_OK


if __name__ == "__main__":
    main()
