from pathlib import Path

from docs.generator.declared_settings import DeclaredSetting, declared_settings
from docs.generator.markdown import page, table
from entrypoints.api.settings import ApiSettings
from entrypoints.cli.settings import CliSettings
from entrypoints.host.settings import HostSettings
from entrypoints.settings import Settings

_COMMANDS: dict[str, type[Settings]] = {
    "manmanv2-api": ApiSettings,
    "manmanv2-host": HostSettings,
    "manmanv2": CliSettings,
}

_COLUMNS = ("variable", "default", "meaning", "secret")


def configuration_page() -> str:
    introduction = Path(__file__).with_name("configuration.md").read_text()
    commands = [
        f"## {command}\n\n{table(_COLUMNS, map(_row, declared_settings(settings)))}"
        for command, settings in _COMMANDS.items()
    ]
    return page(introduction, *commands)


def _row(setting: DeclaredSetting) -> tuple[str, ...]:
    names = (setting.variable, *setting.other_variables, *setting.files)
    old_names = "".join(f" (deprecated: `{name}`)" for name in setting.old_names)
    return (
        " or ".join(f"`{name}`" for name in names) + old_names,
        f"`{setting.default}`" if setting.default else "none",
        setting.description,
        "yes" if setting.secret else "",
    )
