from application.doctor.check_result import Cause, Outcome
from entrypoints.cli.doctor.settings import examine_settings
from entrypoints.host.settings import HostSettings


def test_sound_settings_are_listed_by_their_source() -> None:
    settings, wrong, [result] = examine_settings(
        HostSettings, {"SERVER_NAME": "web1", "LOG_LEVEL": "info"}, {"SERVER_NAME": "web2"}
    )

    assert settings
    assert (settings.server_name, wrong) == ("web2", ())
    assert str(result) == "set by file: SERVER_NAME; by this environment: LOG_LEVEL"


def test_every_wrong_setting_is_a_failure_with_its_problem_and_its_fix() -> None:
    settings, wrong, results = examine_settings(
        HostSettings, {"LABELS": "a=1,a=2", "LOG_LEVEL": "loud", "SERVER_NAME": "web1"}, {}
    )

    assert settings
    assert (settings.server_name, settings.labels) == ("web1", ())
    assert sorted(wrong) == ["LABELS", "LOG_LEVEL"]
    assert {result.outcome for result in results} == {Outcome.FAIL}
    assert {result.cause for result in results} == {Cause.SETTING}
    assert {(result.summary, result.fix) for result in results} == {
        ("LOG_LEVEL: must be one of debug, info, warning, error", ""),
        ("LABELS: has the key 'a' more than once", "leave one of them out"),
    }


def test_a_wrong_setting_with_its_old_name_is_left_out() -> None:
    settings, wrong, [result] = examine_settings(HostSettings, {"MACHINE_ROOT": "host"}, {})

    assert settings
    assert wrong == ["HOST_ROOT"]
    assert result.summary.startswith("MACHINE_ROOT (now HOST_ROOT): must be")


def test_settings_that_contradict_each_other_are_not_returned() -> None:
    settings, wrong, [result] = examine_settings(
        HostSettings, {"SERVER_ID": "7", "API_ADDRESS": "api:50051"}, {}
    )

    assert (settings, wrong) == (None, [])
    assert (result.summary, result.separator, result.fix) == (
        "SERVER_ID is set together with API_ADDRESS: a host with an assigned id does not register",
        "; ",
        "unset SERVER_ID to register, or unset API_ADDRESS to keep the id",
    )
