from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.approval import Approval
from domain.conflict import Conflict, ConflictState
from domain.events import EventKind
from domain.explanation import Facts, explain, explain_deleted
from domain.history import HistoryEntry
from domain.labels import Labels
from domain.liveness import Presence, Status
from domain.machine_evidence import KINDS, UNKNOWN_IDENTITY, Evidence, Identity
from domain.server import Server
from tests.support.builders import NOW, SECOND, evidence

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OFFLINE = (EventKind.OFFLINE, EventKind.STALE, EventKind.RESTORED)
BOX = evidence(disk="box", board="box", boot="today", instance="manager")
SEEN = Presence(Status.ONLINE, NOW - 5 * SECOND, NOW + 40 * SECOND)
GONE = Presence(Status.OFFLINE, NOW - HOUR, None)
WEB = Server(42, "web", "production", SEEN, epoch=1, address="10.0.0.7", machine=42)
KNOWN = Identity(BOX, 42, "10.0.0.7", NOW - HOUR)
JOINED = HistoryEntry(NOW - HOUR, EventKind.ONLINE, "its host registered from 10.0.0.7")


def facts(
    server: Server = WEB,
    *history: HistoryEntry,
    identity: Identity = KNOWN,
    neighbours: Sequence[Server] = (),
    conflicts: Sequence[Conflict] = (),
) -> Facts:
    return Facts(server, identity, history or (JOINED,), neighbours, conflicts, DAY, NOW)


def explanation(
    server: Server = WEB,
    *history: HistoryEntry,
    identity: Identity = KNOWN,
    neighbours: Sequence[Server] = (),
    conflicts: Sequence[Conflict] = (),
) -> str:
    return " ".join(
        explain(
            facts(server, *history, identity=identity, neighbours=neighbours, conflicts=conflicts)
        )
    )


def conflict(server_id: int = 42, state: ConflictState = ConflictState.OPEN) -> Conflict:
    clone = evidence(disk="box", board="copy", boot="later")
    challenger = Identity(clone, 0, "10.0.0.9", None)
    return Conflict(3, server_id, "web", state, KNOWN, NOW, challenger, NOW - HOUR, NOW, claims=7)


words = st.text("abc -_é", min_size=1, max_size=30)
moments = st.datetimes(NOW.replace(tzinfo=None) - 999 * DAY, NOW.replace(tzinfo=None) + DAY).map(
    lambda moment: moment.replace(tzinfo=NOW.tzinfo)
)
evidences = st.builds(Evidence, *[st.sampled_from(["", "a" * 32, "b" * 32])] * 5)
identities = st.just(UNKNOWN_IDENTITY) | st.builds(
    Identity, evidences, st.integers(0, 9), words, moments | st.none()
)
kinds = st.lists(st.sampled_from(sorted(KINDS)), unique=True).map(tuple)
histories = st.lists(
    st.builds(HistoryEntry, moments, st.sampled_from(EventKind), st.just("") | words, kinds, kinds),
    max_size=6,
)
labels = st.dictionaries(words, st.just("") | words, max_size=3)
servers = st.builds(
    Server,
    server_id=st.integers(1, 2**63 - 1),
    name=words,
    environment=st.just("") | words,
    presence=st.builds(Presence, st.sampled_from(Status), st.none() | moments, st.none() | moments),
    is_default=st.booleans(),
    epoch=st.integers(0, 9),
    approval=st.sampled_from(Approval),
    approval_reason=st.just("") | words,
    ephemeral=st.booleans(),
    labels=st.builds(Labels, labels, labels),
    machine=st.integers(0, 9),
    address=st.just("") | words,
)
conflicts_of_any_kind = st.builds(
    Conflict,
    st.integers(1, 9),
    st.integers(1, 9),
    words,
    st.sampled_from(ConflictState),
    identities,
    st.none() | moments,
    identities,
    moments,
    moments,
    claims=st.integers(1, 9),
)


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    server = draw(servers)
    conflicts = draw(st.lists(conflicts_of_any_kind, max_size=3))
    return Facts(
        server=server,
        identity=draw(identities),
        history=draw(histories),
        neighbours=draw(st.lists(servers, max_size=2)),
        conflicts=[
            replace(one, server_id=server.server_id) if draw(st.booleans()) else one
            for one in conflicts
        ],
        ephemeral_retention=draw(st.timedeltas(SECOND, 999 * DAY)),
        now=draw(moments),
    )


@given(facts=any_facts())
def test_every_state_is_explained_in_short_sentences(facts: Facts) -> None:
    sentences = explain(facts)

    assert all(sentence.endswith(".") and sentence[:1].strip() for sentence in sentences)
    assert all(len(sentence) < 600 for sentence in sentences)


@given(facts=any_facts())
def test_the_first_sentence_names_the_server_its_approval_and_its_status(facts: Facts) -> None:
    server = facts.server
    first = explain(facts)[0]

    assert first.startswith(f"Server {server.server_id} is {server.name}")
    assert f": {server.approval} and {server.presence.status}" in first
    assert ("the default server" in first) == server.is_default


@given(facts=any_facts())
def test_the_last_event_with_its_status_says_since_when_it_has_it(facts: Facts) -> None:
    text = " ".join(explain(facts))
    status = facts.server.presence.status
    online = {EventKind.ONLINE}
    kinds = online if status is Status.ONLINE else set(OFFLINE)
    changes = [entry for entry in facts.history if entry.kind in kinds]

    assert (f"It has been {status} since" in text) == bool(changes)
    if changes:
        assert f"It has been {status} since {changes[-1].at:%Y-%m-%d %H:%M:%S} UTC" in text


def test_the_history_of_a_merged_server_does_not_explain_the_status() -> None:
    silent = HistoryEntry(NOW, EventKind.STALE, "its host was silent for longer than 45 seconds")
    merged = HistoryEntry(NOW, EventKind.MERGED, "an operator merged server 41 (old) into it")
    text = explanation(WEB, JOINED, silent, merged)

    assert "It has been online since 2026-02-28 22:59:58 UTC: its host registered" in text
    assert "another server was merged into it: an operator merged server 41 (old) into it." in text


@given(facts=any_facts())
def test_a_refused_server_is_not_explained_as_about_to_come_online(facts: Facts) -> None:
    text = " ".join(explain(facts))

    if not facts.server.approval.admits:
        assert f"`manmanv2 servers approve {facts.server.server_id}`" in text
        assert "It comes online" not in text
        assert "SERVER_NAME" not in text


def test_a_healthy_server() -> None:
    assert explain(facts()) == [
        "Server 42 is web in the environment production: approved and online.",
        "It has been online since 2026-02-28 22:59:58 UTC: its host registered from 10.0.0.7.",
        "Its last heartbeat arrived 5 seconds ago.",
        "Its host has registered once, most recently from 10.0.0.7 at 2026-02-28 22:59:58 UTC.",
    ]


def test_a_server_whose_host_is_silent() -> None:
    silent = replace(WEB, presence=GONE, epoch=3, environment="", is_default=True)
    stale = HistoryEntry(
        NOW - HOUR + 50 * SECOND,
        EventKind.STALE,
        "its host was silent for longer than 45 seconds",
    )

    assert explain(facts(silent, JOINED, stale)) == [
        "Server 42 is web: approved and offline, and it is the default server.",
        (
            "It has been offline since 2026-02-28 23:00:48 UTC: its host was silent for longer than"
            " 45 seconds."
        ),
        "Its last heartbeat arrived at 2026-02-28 22:59:58 UTC.",
        (
            "To check whether its host manager runs and reaches the API, run"
            " `manmanv2 doctor host` on its machine."
        ),
        "Its host has registered 3 times, most recently from 10.0.0.7 at 2026-02-28 22:59:58 UTC.",
    ]


def test_a_server_whose_host_was_stopped() -> None:
    stopped = HistoryEntry(NOW - HOUR, EventKind.OFFLINE, "its host reported that it stops")
    text = explanation(replace(WEB, presence=GONE), JOINED, stopped)

    assert (
        "It has been offline since 2026-02-28 22:59:58 UTC: its host reported that it stops."
        in text
    )
    assert "It comes online with the next heartbeat of its host." in text
    assert "doctor" not in text


def test_a_server_whose_host_has_never_joined() -> None:
    created = HistoryEntry(NOW, EventKind.CREATED, "an operator created it")

    assert explain(facts(Server(7, "web"), created, identity=UNKNOWN_IDENTITY)) == [
        "Server 7 is web: approved and offline.",
        "No host has ever registered as this server.",
        "A host manager with SERVER_NAME=web registers as this server.",
    ]


def test_a_server_older_than_its_history() -> None:
    text = explanation(replace(WEB, epoch=0), HistoryEntry(NOW, EventKind.CONFIGURED, "put"))

    assert "Its history does not show since when it has been online." in text
    assert "has registered" not in text


@pytest.mark.parametrize(
    ("approval", "sentence"),
    [
        (
            Approval.PENDING,
            (
                "It is not approved yet and gets no configuration and no commands until an"
                " operator runs `manmanv2 servers approve 42`."
            ),
        ),
        (
            Approval.REJECTED,
            (
                "An operator rejected it (not ours): its host is refused until an operator runs"
                " `manmanv2 servers approve 42`."
            ),
        ),
        (
            Approval.BANNED,
            (
                "An operator banned it (not ours): its machine is refused under any name until an"
                " operator runs `manmanv2 servers approve 42`."
            ),
        ),
    ],
)
def test_a_server_that_is_not_admitted(approval: Approval, sentence: str) -> None:
    assert (
        explain(facts(replace(WEB, approval=approval, approval_reason="not ours")))[1] == sentence
    )


def test_a_ban_without_evidence_is_on_the_host_only() -> None:
    banned = replace(WEB, approval=Approval.BANNED)

    assert "An operator banned it: its host is refused until" in explanation(
        banned, identity=UNKNOWN_IDENTITY
    )


def test_a_server_that_another_machine_took_over() -> None:
    first = HistoryEntry(
        NOW - 2 * HOUR, EventKind.TAKEN_OVER, "the first", ("boot_id",), ("machine_id",)
    )
    last = HistoryEntry(
        NOW - HOUR,
        EventKind.TAKEN_OVER,
        "an operator gave it to another machine, which claimed its name",
        ("machine_id", "engine_id"),
        ("hardware_id", "boot_id"),
    )
    text = explanation(WEB, first, last, JOINED)

    assert (
        "At 2026-02-28 22:59:58 UTC it was taken over: an operator gave it to another machine,"
        " which claimed its name (hardware id and boot id differed, machine-id and Docker engine"
        " ID agreed)." in text
    )
    assert "the first" not in text


def test_evidence_that_the_cause_names_is_not_repeated() -> None:
    entry = HistoryEntry(
        NOW, EventKind.TAKEN_OVER, "its machine-id is not the same", (), ("machine_id",)
    )

    assert "taken over: its machine-id is not the same." in explanation(WEB, entry, JOINED)


def test_a_host_manager_that_is_started_twice() -> None:
    entries = [
        HistoryEntry(NOW - number * HOUR, EventKind.REPLACED, "another one registered")
        for number in (30, 3, 2, 1)
    ]
    text = explanation(WEB, *entries, JOINED)

    assert (
        "That happened 3 times within a day: check whether two host managers use its name, and"
        " stop one of them; or whether one host manager is killed and restarted again and again."
    ) in text
    assert "within a day" not in explanation(WEB, *entries[:3], JOINED)


def test_a_server_whose_host_sends_no_evidence() -> None:
    anonymous = Identity(address="10.0.0.7", registered_at=NOW)

    assert "any host that uses this name gets this server" in explanation(WEB, identity=anonymous)
    assert "any host that uses this name" not in explanation(WEB)
    assert "any host that uses this name" not in explanation(WEB, identity=UNKNOWN_IDENTITY)


def test_a_machine_with_two_host_managers() -> None:
    dev = Server(43, "web-dev", "dev", SEEN, machine=42)

    assert "Server 43 (web-dev) is on the same machine and online." in explanation(
        WEB, neighbours=[dev]
    )


@pytest.mark.parametrize("environment", ["production", ""])
def test_a_machine_whose_host_was_renamed(environment: str) -> None:
    old = Server(41, "old", environment, GONE, machine=42)
    text = explanation(WEB, neighbours=[old])
    seen_from_the_old_one = explanation(replace(old, environment="production"), neighbours=[WEB])

    assert "if the host was renamed, `manmanv2 servers merge 41 42` makes them one server" in text
    assert "`manmanv2 servers merge 41 42`" in seen_from_the_old_one


def test_a_stopped_server_of_another_environment_is_not_to_be_merged() -> None:
    dev = Server(43, "web-dev", "dev", GONE, machine=42)

    assert "merge" not in explanation(WEB, neighbours=[dev])


@pytest.mark.parametrize(("count", "rest"), [(5, ""), (6, "So is 1 more."), (12, "So are 7 more.")])
def test_a_machine_with_many_host_managers(count: int, rest: str) -> None:
    text = explanation(WEB, neighbours=[Server(n, f"box-{n}", "dev", SEEN) for n in range(count)])

    assert text.count("on the same machine") == 5
    assert ("more." in text) == bool(rest)
    assert rest in text


def test_a_name_in_conflict() -> None:
    sentences = explain(facts(conflicts=[conflict()]))

    assert sentences[-3:] == [
        (
            "Another machine at 10.0.0.9 claimed its name 7 times, most recently at"
            " 2026-02-28 23:59:58 UTC (conflict 3)."
        ),
        "The disk is the same, but the board differs: the disk was most likely copied.",
        (
            "To decide who gets the name, run `manmanv2 conflicts resolve 3` with --adopt,"
            " --rename or --evict."
        ),
    ]


def test_a_single_claim_without_an_address() -> None:
    claim = replace(conflict(), claims=1, challenger=UNKNOWN_IDENTITY)

    assert "Another machine claimed its name once, at 2026-02-28 23:59:58 UTC" in explanation(
        conflicts=[claim]
    )


@pytest.mark.parametrize(
    "of_no_concern", [conflict(server_id=7), conflict(state=ConflictState.RESOLVED)]
)
def test_a_conflict_of_an_earlier_server_or_a_resolved_one_is_left_out(
    of_no_concern: Conflict,
) -> None:
    assert "claimed" not in explanation(conflicts=[of_no_concern])


def test_a_name_in_many_conflicts() -> None:
    assert "1 more machine claims its name" in explanation(conflicts=[conflict()] * 6)
    assert "2 more machines claim its name" in explanation(conflicts=[conflict()] * 7)
    assert explanation(conflicts=[conflict()] * 7).count("claimed its name") == 5


@pytest.mark.parametrize(
    ("presence", "sentence"),
    [
        (SEEN, "It is ephemeral: it is deleted after 24 hours without a heartbeat."),
        (
            GONE,
            (
                "It is ephemeral: it is deleted after 2026-03-01 22:59:58 UTC unless its host"
                " sends a heartbeat."
            ),
        ),
        (
            Presence(Status.OFFLINE, NOW - DAY, None),
            "It is ephemeral and had no heartbeat for 24 hours: it will be deleted soon.",
        ),
    ],
)
def test_an_ephemeral_server(presence: Presence, sentence: str) -> None:
    assert explain(facts(replace(WEB, presence=presence, ephemeral=True)))[-1] == sentence
    assert "ephemeral" not in explanation(replace(WEB, presence=presence))


def test_operators_labels_that_override_the_hosts() -> None:
    labels = Labels(
        of_host={"region": "nyc", "tier": "gold", "zone": "a", "old": ""},
        of_operators={"region": "lon", "tier": "gold", "rack": "7", "old": "yes"},
    )

    assert explain(facts(replace(WEB, labels=labels)))[-1] == (
        "Operators' labels override those of its host: old=yes instead of nothing, region=lon"
        " instead of nyc."
    )


def test_a_deleted_server_can_be_restored() -> None:
    sentences = explain_deleted(WEB, NOW, NOW + 30 * DAY, "an operator deleted it")

    assert sentences == [
        "Server 42 (web) was deleted at 2026-02-28 23:59:58 UTC: an operator deleted it.",
        (
            "Until 2026-03-30 23:59:58 UTC, `manmanv2 servers restore 42` restores it with"
            " everything it had."
        ),
    ]


def test_times_are_in_utc() -> None:
    elsewhere = JOINED.at.astimezone(datetime.strptime("+0530", "%z").tzinfo)

    assert explanation(WEB, replace(JOINED, at=elsewhere)) == explanation()
