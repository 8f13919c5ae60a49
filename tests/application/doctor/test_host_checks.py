from tests.support.host_checks import KEY, RANDOM_KEY, FakeBroker, Host, examine


def test_a_sound_host_is_ok_in_every_check() -> None:
    results = examine()

    assert {name: str(result) for name, result in results.items()} == {
        "Docker": "Docker 29.1.2 at /x, 4 cores, 8.0 GiB",
        "Name": "web1-production, from hostname and ENVIRONMENT",
        "API": "a ManMan API answers at api:50051",
        "Key": "the API accepts REGISTRATION_KEY",
        "Database": "the API reaches its database",
        "Clock": "unknown, because this older API does not send its time",
    }


def test_a_host_that_uses_amqp_reaches_the_api_over_the_broker() -> None:
    results = examine(over_amqp=True, broker=FakeBroker(known=True))

    assert list(results) == ["Docker", "Name", "Broker", "API", "Key", "Database"]
    assert str(results["API"]) == "an API answers over the broker"


def test_a_host_with_a_server_id_does_not_call_the_api() -> None:
    results = examine(server_id=42, api=None, broker=FakeBroker(known=True))

    assert str(results["API"]).startswith("not checked, because a host with a SERVER_ID")
    assert "Key" not in results


def test_no_check_prints_a_key() -> None:
    assert KEY not in repr(Host().host_checks())
    assert RANDOM_KEY not in repr(Host().host_checks())
