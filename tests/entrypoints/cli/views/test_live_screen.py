import pytest

from domain.liveness import offline_presence
from domain.server import Server
from entrypoints.cli.views.live_screen import LiveScreen
from entrypoints.cli.views.servers import SERVER_COLUMNS, server_row
from entrypoints.cli.views.tables import Column, Fit, Row
from tests.support.builders import CAPABILITIES, NOW
from tests.support.tty import Tty, replace_stdout

COLUMNS = (Column("ID"), Column("NAME", Fit.CUT), Column("STATUS"), Column("CPU", Fit.LEAVE_OUT))
HOME = "\x1b[H"


def rows(count: int) -> list[Row]:
    return [
        Row((str(number), f"box-{number}", "online", "12.5/16 free")) for number in range(count)
    ]


def last_drawing(terminal: Tty) -> list[str]:
    return [line.rstrip() for line in terminal.text.rpartition(HOME)[2].split("\n")]


@pytest.mark.parametrize("width", [30, 80, 120])
@pytest.mark.parametrize("height", [6, 10, 40])
def test_a_drawing_is_exactly_as_large_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    terminal = replace_stdout(monkeypatch, width, height)
    screen = LiveScreen(COLUMNS)
    log = ["a line that is far too long for a terminal that is as narrow as this one"] * 3
    screen.draw(rows(100), "100 shown", log, hints=["Try:", "  this"])
    drawing = terminal.text.rpartition(HOME)[2].split("\n")

    assert len(drawing) == height
    assert {len(line) for line in drawing} == {width}


def test_rows_without_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = replace_stdout(monkeypatch, 80, 10)
    LiveScreen(COLUMNS).draw(rows(20), "20 shown")
    drawing = last_drawing(terminal)

    assert [line.split()[0] for line in drawing[:6]] == ["ID", "0", "1", "2", "3", "4"]
    assert drawing[6:8] == ["and 15 more than fit here", ""]
    assert drawing[8] == "20 shown"


def test_the_last_lines_of_the_log_are_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = replace_stdout(monkeypatch, 40, 24)
    line = "DOCKER_SOCKET /var/run/docker.sock does not exist: start Docker."
    LiveScreen(COLUMNS).draw(rows(1), "status", ["earlier", line], hints=["Try this"])
    drawing = [shown for shown in last_drawing(terminal) if shown]

    assert drawing[-1] == "Try this"
    assert " ".join(drawing[-3:-1]) == line


def test_data_cannot_move_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = replace_stdout(monkeypatch, 80)
    screen = LiveScreen(COLUMNS)
    evil = "x\x1b[2J\n\x9b1;1H\u202e"
    screen.draw([Row(("1", evil, "online", evil))], evil, [evil], hints=[evil])
    screen.close()

    for sequence in ("\x1b[2J", "\x9b", "\u202e"):
        assert sequence not in terminal.getvalue()
    assert r"x\x1b[2J\n\x9b1;1H\u202e" in terminal.getvalue()


def test_the_last_table_stays_on_the_terminal_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = replace_stdout(monkeypatch, 80)
    screen = LiveScreen(COLUMNS)
    screen.draw(rows(2), "Stop with Ctrl-C.", ["a change"])
    screen.close()
    screen.close()
    _, _, after = terminal.text.partition("\x1b[?1049l")

    assert [line.split() for line in after.splitlines()] == [
        ["ID", "NAME", "STATUS", "CPU"],
        ["0", "box-0", "online", "12.5/16", "free"],
        ["1", "box-1", "online", "12.5/16", "free"],
        [],
        ["a", "change"],
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_a_live_table_shows_names_of_20_letters_whole(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    terminal = replace_stdout(monkeypatch, width)
    server = Server(
        4242, "gameserver-nyc-00042", "production", offline_presence(NOW), capabilities=CAPABILITIES
    )
    columns = (Column(""), *SERVER_COLUMNS)
    LiveScreen(columns).draw([Row(("*", *server_row(server, NOW)))] * 3, "3 shown")
    drawing = last_drawing(terminal)

    assert all("gameserver-nyc-00042  production   offline" in line for line in drawing[1:4])
    assert "…" not in terminal.text
    assert drawing[4:6] == ["", "3 shown"]
