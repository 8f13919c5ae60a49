import pickle
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from domain.approval import ApprovalPolicy
from domain.enforcement import Mode, Switch
from domain.machine_evidence import NamePolicy
from domain.operator_token import ClaimRules
from domain.registration_rules import DEFAULT_RULES, RegistrationRules
from domain.role import Role
from entrypoints.api.oidc import check_provider_ca
from entrypoints.api.settings import ApiSettings
from entrypoints.cli.settings import CliSettings
from entrypoints.failures import ConfigurationError
from entrypoints.host.settings import HostSettings, Transport
from entrypoints.settings import SecretsInFile, Settings
from tests.support.canary_secrets import MARK, canary

KEY = canary("registration key")
PASSWORD = canary("password")


def problem(settings: type[Settings], **variables: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings.load(variables)
    return str(caught.value)


@pytest.mark.parametrize("settings", [ApiSettings, HostSettings, CliSettings])
def test_nothing_needs_to_be_set(settings: type[Settings]) -> None:
    assert settings.load({}) == settings()


def test_empty_and_unknown_variables_are_ignored() -> None:
    variables = {"SERVER_NAME": "", "REGISTRATION_KEY": "", "NO_SUCH_SETTING": "x"}

    assert HostSettings.load(variables) == HostSettings()


@pytest.mark.parametrize(
    "address", ["localhost:50051", "api.example.com:1", "10.0.0.1:65535", "[::1]:50051"]
)
def test_an_address_is_host_and_port(address: str) -> None:
    assert HostSettings.load({"API_ADDRESS": address}).api_address == address


@pytest.mark.parametrize(
    "address",
    [
        "localhost",
        "localhost:",
        ":50051",
        "localhost:0",
        "localhost:65536",
        "localhost:http",
        "http://localhost",
        "ftp://localhost:50051",
        "://localhost:50051",
        "https://",
        "https://user@localhost",
        "https://localhost/path",
        "https://::1",
        "localhost:50051/",
        "::1:50051",
        "two words:50051",
        "a..b:50051",
        f"{'x' * 64}.example.com:50051",
    ],
)
def test_an_invalid_address_is_reported_with_the_variable_and_an_example(address: str) -> None:
    assert problem(HostSettings, API_ADDRESS=address) == (
        "API_ADDRESS: must be HOST:PORT, for example localhost:50051, or https://HOST or https://HOST:PORT"
        " for TLS."
    )


@pytest.mark.parametrize("variable", ["SERVER_NAME", "ENVIRONMENT"])
@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("x" * 256, "has 256 characters"),
        (" mars", "begins or ends with a space"),
        ("ma\trs", "contains a character that is not printable"),
        ("\udcff", "contains a character that is not printable"),
    ],
)
def test_an_invalid_name_is_reported_with_the_variable(
    variable: str, value: str, complaint: str
) -> None:
    sentence = problem(HostSettings, **{variable: value})

    assert sentence.startswith(f"{variable}: {complaint}")
    assert "\n" not in sentence


def test_an_address_instead_of_the_socket_path_is_reported() -> None:
    assert problem(HostSettings, DOCKER_SOCKET="unix:///var/run/docker.sock") == (
        "DOCKER_SOCKET: must be a path without unix://, for example /var/run/docker.sock."
    )


def test_all_mistakes_are_reported_together() -> None:
    message = problem(HostSettings, API_ADDRESS="nowhere", DOCKER_OPTIONAL="perhaps")

    assert [line.partition(":")[0] for line in message.splitlines()] == [
        "API_ADDRESS",
        "DOCKER_OPTIONAL",
    ]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"HEARTBEAT_INTERVAL_SECONDS": "0"},
            "HEARTBEAT_INTERVAL_SECONDS: must be a whole number from 1 to 3600.",
        ),
        ({"API_WORKERS": "two"}, "API_WORKERS: must be a whole number from 1 to 64."),
        ({"GRPC_REFLECTION": "1"}, "GRPC_REFLECTION: must be true or false."),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: must be one of debug, info, warning, error."),
        (
            {"API_WORKERS": "2", "DATABASE_URL": "memory://"},
            "API_WORKERS is 2, but processes cannot share DATABASE_URL=memory://: set it to 1.",
        ),
        (
            {"API_WORKERS": "2", "LISTEN_ADDRESS": "127.0.0.1:0"},
            "API_WORKERS is 2, but processes cannot share port 0: name another in LISTEN_ADDRESS.",
        ),
    ],
)
def test_a_mistake_is_reported_in_one_sentence_with_the_fix(
    variables: dict[str, str], sentence: str
) -> None:
    assert problem(ApiSettings, **variables) == sentence


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\r\n\n")
    return file


def test_a_secret_may_come_from_a_file_without_its_line_ends(key_file: Path) -> None:
    settings = ApiSettings.load({"REGISTRATION_KEY_FILE": str(key_file)})

    assert settings.registration_key
    assert settings.registration_key.reveal() == KEY


@pytest.mark.parametrize("settings", [ApiSettings, HostSettings])
def test_the_file_of_the_registration_key_may_hold_several_keys(
    key_file: Path, settings: type[ApiSettings | HostSettings]
) -> None:
    new = canary("new registration key")
    key_file.write_text(f"# The new one comes first.\n{new}\n'{KEY}'\n")
    loaded = settings.load({"REGISTRATION_KEY_FILE": str(key_file)})
    found = loaded.registration_key

    assert isinstance(found, SecretsInFile)
    assert found.reveal_all() == (new, KEY)
    assert found.reveal() == new
    assert "REGISTRATION_KEY=(set, not shown)" in loaded.redacted_lines()
    assert MARK not in repr(loaded)
    assert pickle.loads(pickle.dumps(loaded)) == loaded


def test_the_file_of_any_other_secret_holds_one_value(key_file: Path) -> None:
    key_file.write_text(f"{KEY}\n{KEY}\n")

    assert problem(ApiSettings, OPERATOR_KEY_FILE=str(key_file)) == (
        "OPERATOR_KEY: contains a character that cannot be printed, or bytes that are not UTF-8."
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("# none yet\n", "contains no key: write one into it"),
        (f"{KEY}\n{KEY}\0", "contains an unprintable character in line 2: remove it"),
    ],
)
def test_a_file_without_usable_registration_keys_is_reported(
    key_file: Path, content: str, why: str
) -> None:
    key_file.write_text(content)

    assert problem(HostSettings, REGISTRATION_KEY_FILE=str(key_file)) == (
        f"REGISTRATION_KEY: REGISTRATION_KEY_FILE names {key_file}, which {why}."
    )


def test_a_file_of_registration_keys_that_is_not_text_is_reported(key_file: Path) -> None:
    key_file.write_bytes(b"\xff")

    assert problem(ApiSettings, REGISTRATION_KEY_FILE=str(key_file)) == (
        f"REGISTRATION_KEY: cannot be read from {key_file} (it is not UTF-8 text): fix"
        " REGISTRATION_KEY_FILE or the file's permissions."
    )


def test_the_database_url_may_come_from_a_file_because_it_contains_a_password(
    key_file: Path,
) -> None:
    url = f"postgresql://manman:{PASSWORD}@db/manman"
    key_file.write_text(f"{url}\n")

    assert ApiSettings.load({"DATABASE_URL_FILE": str(key_file)}).database_url.reveal() == url


def test_an_empty_key_file_is_refused_and_does_not_grant_access(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")

    assert problem(ApiSettings, OPERATOR_KEY_FILE=str(empty)) == (
        f"OPERATOR_KEY: OPERATOR_KEY_FILE names {empty}, which is empty: fill the file, or unset"
        " OPERATOR_KEY_FILE."
    )
    assert problem(ApiSettings, REGISTRATION_KEY_FILE=str(empty)) == (
        f"REGISTRATION_KEY: REGISTRATION_KEY_FILE names {empty}, which contains no key: write one"
        " into it."
    )


def test_a_key_that_cannot_be_sent_in_a_header_is_reported() -> None:
    message = problem(CliSettings, OPERATOR_KEY=f"{canary('operator key')}ü")

    assert message == "OPERATOR_KEY: must be ASCII, because it is sent in a header."


def test_a_key_with_bytes_that_are_not_text_is_reported() -> None:
    message = problem(HostSettings, REGISTRATION_KEY=f"{KEY}\udcff")

    assert message.startswith("REGISTRATION_KEY: contains a")
    assert MARK not in message


def test_a_secret_and_its_file_together_are_refused(key_file: Path) -> None:
    message = problem(ApiSettings, REGISTRATION_KEY=KEY, REGISTRATION_KEY_FILE=str(key_file))

    assert message == "REGISTRATION_KEY: REGISTRATION_KEY_FILE is set too: remove one of them."


def test_an_unreadable_secret_file_is_reported(tmp_path: Path) -> None:
    message = problem(ApiSettings, REGISTRATION_KEY_FILE=str(tmp_path / "none"))

    assert message == (
        f"REGISTRATION_KEY: cannot be read from {tmp_path / 'none'} (No such file or directory):"
        " fix REGISTRATION_KEY_FILE or the file's permissions."
    )


def test_the_specification_s_name_for_the_database_works_too() -> None:
    settings = ApiSettings.load({"PG_DATABASE_URL": "postgresql://db/manman"})

    assert settings.database_url.reveal() == "postgresql://db/manman"


def test_no_printed_form_of_the_settings_contains_a_secret() -> None:
    settings = ApiSettings.load(
        {
            "DATABASE_URL": f"postgresql://manman:{PASSWORD}@{PASSWORD}@db/manman?password={PASSWORD}",
            "REGISTRATION_KEY": f"x://{KEY}",
            "OPERATOR_KEY": canary("operator key"),
        }
    )
    printed = "\n".join([repr(settings), str(settings), *settings.redacted_lines()])

    assert "DATABASE_URL=postgresql://manman:***@db/manman" in printed
    assert MARK not in printed


@pytest.mark.parametrize("settings", [ApiSettings, HostSettings, CliSettings])
def test_help_lists_every_setting_with_its_default_and_description(
    settings: type[Settings],
) -> None:
    lines = list(settings.help_lines())
    following = dict(pairwise(lines))

    for name in settings.__dataclass_fields__:
        heading = next(line for line in lines if line.startswith(f"  {name.upper()} (default: "))
        assert following[heading].startswith(" " * 6)
    assert max(map(len, lines)) < 80


@pytest.mark.parametrize("settings", [ApiSettings, HostSettings])
@pytest.mark.parametrize(
    "url",
    [
        f"amqp://u:{PASSWORD}@rabbitmq:5672/manmanv2-dev",
        "amqps://broker.example.com",
        "amqp://[::1]/",
    ],
)
def test_a_broker_url_is_printed_without_its_password(
    settings: type[ApiSettings | HostSettings], url: str, key_file: Path
) -> None:
    key_file.write_text(f"{url}\n")
    loaded = settings.load({"RABBITMQ_URL_FILE": str(key_file)})

    assert loaded.rabbitmq_url
    assert loaded.rabbitmq_url.reveal() == url
    assert f"RABBITMQ_URL={url.replace(PASSWORD, '***')}" in loaded.redacted_lines()


@pytest.mark.parametrize("settings", [ApiSettings, HostSettings])
@pytest.mark.parametrize(
    "url",
    [
        "rabbitmq:5672",
        f"http://u:{PASSWORD}@h/",
        "amqp://",
        "amqp://h:x/",
        f"amqp://u:{PASSWORD}@[/",
        f"amqp://u:12#{PASSWORD}@h/",
        f"amqp://u:12/{PASSWORD}@h/",
        f"amqp://u:12?{PASSWORD}@h/",
    ],
)
def test_an_invalid_broker_url_is_reported_without_its_password(
    settings: type[Settings], url: str
) -> None:
    message = problem(settings, RABBITMQ_URL=url)

    assert message.startswith("RABBITMQ_URL: must be amqp://USER:PASSWORD@HOST:PORT/VHOST")
    assert MARK not in message


def test_only_the_api_accepts_memory_instead_of_a_broker() -> None:
    assert ApiSettings.load({"RABBITMQ_URL": "memory://"}) == ApiSettings()
    assert "RABBITMQ_URL" in problem(HostSettings, RABBITMQ_URL="memory://")


@pytest.mark.parametrize(
    "variable",
    [
        *("API_ADDRESS=h:1", f"REGISTRATION_KEY={KEY}", "SERVER_NAME=box"),
        *("CONFIG_DIR=/x", "TRANSPORT=grpc", "LABELS=a=b"),
        *("EPHEMERAL=true", "DEREGISTER_ON_EXIT=true"),
    ],
)
def test_a_fixed_id_together_with_settings_of_a_registration_is_refused(variable: str) -> None:
    name, _, value = variable.partition("=")
    message = problem(HostSettings, SERVER_ID="7", RABBITMQ_URL="amqp://h", **{name: value})

    assert message.startswith(f"SERVER_ID is set together with {name}: ")
    assert f"unset SERVER_ID to register, or unset {name} to keep the id." in message


def test_the_audit_log_is_kept_forever_unless_days_are_set() -> None:
    kept = ApiSettings.load({"AUDIT_RETENTION_DAYS": "90"})

    assert ApiSettings().retention.audit is None
    assert kept.retention.audit == timedelta(days=90)
    assert problem(ApiSettings, AUDIT_RETENTION_DAYS="-1").startswith("AUDIT_RETENTION_DAYS: ")


OIDC = {"OIDC_ISSUER": "https://id.example.com/", "OIDC_AUDIENCE": "manmanv2"}


def test_an_oidc_provider_needs_an_issuer_and_an_audience() -> None:
    usual = ApiSettings.load(OIDC)
    mapped = ApiSettings.load(
        {
            **OIDC,
            "OIDC_ROLES": "fleet-admins=admin, CN=sre=operator",
            "OIDC_ROLE_CLAIM": "realm_access.roles",
            "OIDC_NAME_CLAIM": "email",
        }
    )

    assert usual.oidc_issuer == "https://id.example.com/"
    assert usual.claim_rules == ClaimRules("sub", "role", {role.value: role for role in Role})
    assert mapped.claim_rules == ClaimRules(
        "email", "realm_access.roles", {"fleet-admins": Role.ADMIN, "CN=sre": Role.OPERATOR}
    )
    assert "OIDC_ROLES=fleet-admins=admin,CN=sre=operator" in mapped.redacted_lines()
    assert pickle.loads(pickle.dumps(mapped)) == mapped


NO_URL = "must be https://HOST/…, or http:// on this machine, without a user in it."
WRONG_ROLES = ("", "admin", "=admin", "a=root", "a=Admin")


@pytest.mark.parametrize(
    ("variables", "setting", "message"),
    [
        (
            {"OIDC_AUDIENCE": ""},
            "OIDC_AUDIENCE",
            (
                "must be set, because OIDC_ISSUER is: the API must refuse tokens that were issued"
                " for another program."
            ),
        ),
        (
            {"OIDC_ISSUER": "", "OIDC_ROLES": "a=admin"},
            "OIDC_ISSUER",
            (
                "must be set, because OIDC_AUDIENCE is. To accept no tokens, unset OIDC_AUDIENCE,"
                " OIDC_ROLES."
            ),
        ),
        (
            {"OIDC_ISSUER": "http://localhost:1", "OIDC_CA_CERT_PATH": "ca.crt"},
            "OIDC_CA_CERT_PATH",
            "must not be set, because the provider has no certificate: its URL is http://.",
        ),
        ({"OIDC_ISSUER": "http://id.example.com"}, "OIDC_ISSUER", NO_URL),
        ({"OIDC_JWKS_URL": "http://id.example.com/keys"}, "OIDC_JWKS_URL", NO_URL),
        (
            {"OIDC_ISSUER": "https://id.example.com?a"},
            "OIDC_ISSUER",
            "must not contain a ?, because the iss claim of tokens has none.",
        ),
        *(
            (
                {"OIDC_ROLES": f"sre=operator,{wrong}"},
                "OIDC_ROLES",
                (
                    f"contains {wrong!r}, but must be VALUE=ROLE,… with the roles viewer, operator,"
                    " admin."
                ),
            )
            for wrong in WRONG_ROLES
        ),
        (
            {"OIDC_ROLES": "a=admin,a=viewer"},
            "OIDC_ROLES",
            "sets a more than once: remove all but one.",
        ),
    ],
)
def test_invalid_settings_of_an_oidc_provider_are_reported(
    variables: dict[str, str], setting: str, message: str
) -> None:
    assert problem(ApiSettings, **{**OIDC, **variables}) == f"{setting}: {message}"


def test_the_ca_file_of_an_oidc_provider_is_checked_before_the_start(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("no certificate")
    for path in (file, tmp_path / "gone"):
        settings = ApiSettings.load({**OIDC, "OIDC_CA_CERT_PATH": str(path)})
        with pytest.raises(ConfigurationError, match=f"^OIDC_CA_CERT_PATH: {path} cannot be read"):
            check_provider_ca(settings)


def test_the_operators_key_may_be_a_long_token() -> None:
    token = f"eyJ{'x' * 10_000}.{'y' * 1000}.z"
    loaded = CliSettings.load({"OPERATOR_KEY": token})

    assert loaded.operator_key
    assert loaded.operator_key.reveal() == token
    assert "OPERATOR_KEY=(set, not shown)" in loaded.redacted_lines()


def test_labels_are_pairs() -> None:
    loaded = HostSettings.load({"LABELS": "region=nyc, tier=gold,gpu="})

    assert dict(loaded.labels) == {"region": "nyc", "tier": "gold", "gpu": ""}
    assert "LABELS=region=nyc,tier=gold,gpu=" in loaded.redacted_lines()
    assert hash(loaded)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ("region", "must be KEY=VALUE,KEY=VALUE, for example region=nyc, and 'region' is not."),
        ("region=nyc,", "must be KEY=VALUE,KEY=VALUE, for example region=nyc, and '' is not."),
        ("a=1,b=1,a=2", "has the key 'a' more than once: leave one of them out."),
        ("-a=1", "has the key '-a': it must be 1 to 63 letters"),
        ("a=b=c", "has the value 'b=c' of a: it must be up to 63 letters"),
        ("a=ü", "has the value 'ü' of a: "),
        (",".join(f"k{number}=v" for number in range(65)), "has 65 labels; the maximum is 64."),
    ],
)
def test_invalid_labels_are_reported(labels: str, complaint: str) -> None:
    message = problem(HostSettings, LABELS=labels)

    assert message.startswith(f"LABELS: {complaint}")
    assert "\n" not in message


def test_the_root_of_the_host_is_an_absolute_path() -> None:
    assert HostSettings.load({"HOST_ROOT": "/host"}).host_root == Path("/host")
    assert problem(HostSettings, HOST_ROOT="host").startswith("HOST_ROOT: must be the absolute")


def test_a_setting_may_still_be_set_by_its_old_name_with_a_warning() -> None:
    variables = {"MACHINE_ROOT": "/host", "MAX_WRONG_KEYS_PER_SECOND": "7"}

    assert HostSettings.load(variables).host_root == Path("/host")
    assert ApiSettings.load(variables).max_unauthenticated_calls_per_second == 7
    assert list(HostSettings.deprecation_warnings(variables)) == [
        "MACHINE_ROOT is deprecated: rename it to HOST_ROOT"
    ]
    assert list(ApiSettings.deprecation_warnings(variables)) == [
        "MAX_WRONG_KEYS_PER_SECOND is deprecated: rename it to MAX_UNAUTHENTICATED_CALLS_PER_SECOND"
    ]
    assert list(HostSettings.deprecation_warnings({"HOST_ROOT": "/host"})) == []


def test_a_setting_set_by_its_old_and_its_new_name_is_refused() -> None:
    text = problem(HostSettings, HOST_ROOT="/host", MACHINE_ROOT="/host")

    assert text == "HOST_ROOT: MACHINE_ROOT, its old name, is set too: remove MACHINE_ROOT."


def test_a_wrong_value_is_reported_by_the_name_that_was_set() -> None:
    text = problem(HostSettings, MACHINE_ROOT="host")

    assert text.startswith("MACHINE_ROOT (now HOST_ROOT): must be")


def test_an_empty_old_name_counts_as_not_set() -> None:
    variables = {"HOST_ROOT": "/host", "MACHINE_ROOT": ""}

    assert HostSettings.load(variables).host_root == Path("/host")
    assert list(HostSettings.deprecation_warnings(variables)) == []


def test_the_settings_that_the_migration_guide_leaves_work_with_a_fixed_id() -> None:
    variables = {"SERVER_ID": "7", "RABBITMQ_URL": "amqp://h", "ENVIRONMENT": "production"}

    # The unit sets it for every host.
    assert HostSettings.load({**variables, "STATE_DIR": "/x"}).way is Transport.LEGACY
    assert HostSettings.load(variables).way is Transport.LEGACY
    assert HostSettings.load({**variables, "TRANSPORT": "amqp"}).way is Transport.LEGACY


@pytest.mark.parametrize("given", [{"SERVER_ID": "7"}, {"TRANSPORT": "amqp"}])
def test_a_host_that_uses_amqp_needs_a_broker(given: dict[str, str]) -> None:
    assert problem(HostSettings, **given).startswith("RABBITMQ_URL: must be set, because ")


@pytest.mark.parametrize("server_id", ["0", "-1", "x", "1.5", "9" * 19])
def test_an_id_is_a_positive_whole_number(server_id: str) -> None:
    assert problem(HostSettings, SERVER_ID=server_id).startswith("SERVER_ID: must be a whole")


def test_only_an_api_that_shares_a_database_and_has_no_broker_holds_events_back() -> None:
    alone = ApiSettings.load({"DATABASE_URL": "memory://"})
    shared = ApiSettings.load({"DATABASE_URL": "postgresql://db/manman"})
    with_broker = ApiSettings.load(
        {"DATABASE_URL": "postgresql://db/manman", "RABBITMQ_URL": "amqp://h"}
    )

    assert not alone.events_held_back
    assert not with_broker.events_held_back
    assert shared.events_held_back == timedelta(hours=1)


def test_switches_are_enforced_by_default() -> None:
    loaded = ApiSettings.load({"ENFORCEMENT": "name-conflict=warn, epoch=off"})

    modes = {switch: loaded.enforcement.of(switch) for switch in Switch}
    assert modes == {
        **dict.fromkeys(Switch, Mode.ENFORCE),
        # Clients of the specification have neither.
        Switch.CREDENTIAL: Mode.OFF,
        Switch.CERTIFICATE: Mode.OFF,
        Switch.NAME_CONFLICT: Mode.WARN,
        Switch.EPOCH: Mode.OFF,
    }
    assert loaded.registration_rules.enforcement == loaded.enforcement
    assert "ENFORCEMENT=name-conflict=warn,epoch=off" in loaded.redacted_lines()


@pytest.mark.parametrize("text", ["nonsense", "name-conflict", "epoch=maybe", "epoch=off,", "=off"])
def test_an_unknown_switch_or_mode_is_reported_with_the_known_ones(text: str) -> None:
    message = problem(ApiSettings, ENFORCEMENT=text)

    assert message.startswith("ENFORCEMENT: contains ")
    assert message.endswith(
        "but must be SWITCH=MODE,… with the switches name-conflict, epoch, approval, ban,"
        " delete-online, credential, certificate and the modes off, warn, enforce."
    )
    assert "\n" not in message


def test_a_credential_must_live_long_enough_to_be_renewed() -> None:
    message = problem(
        ApiSettings, HOST_CREDENTIAL_LIFETIME_SECONDS="100", HEARTBEAT_INTERVAL_SECONDS="30"
    )
    loaded = ApiSettings.load({"HOST_CREDENTIAL_LIFETIME_SECONDS": "60"})

    assert message == (
        "HOST_CREDENTIAL_LIFETIME_SECONDS is 100, but a credential is renewed by a heartbeat: set"
        " it to four times HEARTBEAT_INTERVAL_SECONDS or more."
    )
    assert loaded.host_credential_lifetime == timedelta(minutes=1)


def test_a_switch_that_is_set_twice_is_reported() -> None:
    message = problem(ApiSettings, ENFORCEMENT="epoch=off,epoch=warn")

    assert message == "ENFORCEMENT: sets epoch more than once: remove all but one."


def test_the_registration_rules_follow_the_settings() -> None:
    loaded = ApiSettings.load(
        {"NAME_CONFLICT_POLICY": "takeover", "REGISTRATION_APPROVAL": "manual"}
    )

    assert loaded.registration_rules == RegistrationRules(
        NamePolicy.TAKEOVER, ApprovalPolicy.MANUAL
    )
    assert ApiSettings().registration_rules == DEFAULT_RULES
    message = problem(ApiSettings, NAME_CONFLICT_POLICY="fight")
    assert message == "NAME_CONFLICT_POLICY: must be one of reject, takeover, allow."


@pytest.mark.parametrize(
    "address",
    [{}, {"API_ADDRESS": "http://api:50051"}, {"API_USE_TLS": "false"}],
)
def test_a_key_that_pins_the_api_s_ca_needs_tls(address: dict[str, str], tmp_path: Path) -> None:
    pinned = f"jk-{'a' * 10}.{canary('secret')}.{'0' * 64}"
    file = tmp_path / "keys"
    file.write_text(f"{canary('registration key')}\n{pinned}\n")

    for key in ({"REGISTRATION_KEY": pinned}, {"REGISTRATION_KEY_FILE": str(file)}):
        message = problem(HostSettings, **address, **key)

        assert message.startswith(
            "REGISTRATION_KEY pins the API's CA, which requires TLS, but API_ADDRESS does not use"
            " TLS: set API_ADDRESS to https://"
        )
        assert HostSettings.load({"API_ADDRESS": "https://api", **key}).api.tls


def test_a_mutual_tls_address_without_tls_is_refused() -> None:
    where = {"API_MTLS_ADDRESS": "api:50443"}

    assert problem(HostSettings, API_ADDRESS="api:50051", **where) == (
        "API_MTLS_ADDRESS: without effect, because API_ADDRESS does not use TLS: set API_ADDRESS"
        " to https://api:50051, or unset API_MTLS_ADDRESS."
    )
    assert HostSettings.load({"API_ADDRESS": "https://api", **where}).api_mtls_address
    assert "must be HOST:PORT" in problem(HostSettings, API_MTLS_ADDRESS="nowhere")
