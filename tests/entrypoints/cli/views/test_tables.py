from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from domain.capabilities import Capabilities
from domain.liveness import offline_presence
from domain.server import Server
from entrypoints.cli.views.servers import SERVER_COLUMNS, print_servers
from entrypoints.cli.views.tables import Column, Fit, aligned, print_table
from tests.support.builders import NOW
from tests.support.tty import replace_stdout

COLUMNS = (
    Column("ID"),
    Column("NAME", Fit.CUT),
    Column("STATUS"),
    Column("CPU", Fit.LEAVE_OUT),
    Column("DOCKER", Fit.LEAVE_OUT),
)
NOTE = "No room for "

cells = st.text(st.characters(categories=["L", "N", "P", "S", "M"]), max_size=60)
rows = st.lists(st.tuples(st.just("4711"), cells, st.just("offline"), cells, cells), max_size=5)


def on_terminal(width: int, columns: tuple[Column, ...], *lines: tuple[str, ...]) -> list[str]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        terminal = replace_stdout(monkeypatch, width)
        print_table(columns, lines)
    return terminal.lines[:-1]


@given(rows, st.integers(min_value=20, max_value=200))
def test_no_row_is_wider_than_the_terminal_or_takes_a_second_line(
    lines: list[tuple[str, ...]], width: int
) -> None:
    output = [line for line in on_terminal(width, COLUMNS, *lines) if not line.startswith(NOTE)]

    assert len(output) == 1 + len(lines)
    assert all(cell_len(line) <= width for line in output)
    assert all("4711" in line and "offline" in line for line in output[1:])


def a_server(number: int) -> Server:
    capabilities = Capabilities(
        total_memory_mb=262144,
        available_memory_mb=131072,
        cpu_cores=128,
        available_cpu_millicores=127500,
        available_ports=(),
        docker_version="29.1.2",
    )
    return Server(
        1000 + number,
        f"gameserver-nyc-{number:05}",
        "production",
        offline_presence(NOW - timedelta(hours=30)),
        capabilities=capabilities,
    )


@pytest.mark.parametrize("width", [80, 120])
def test_names_of_20_letters_are_whole_and_each_server_takes_one_line(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    servers = [a_server(number) for number in range(5)]
    terminal = replace_stdout(monkeypatch, width)
    print_servers(servers, NOW)
    heading, *shown = [line for line in terminal.lines[:-1] if not line.startswith(NOTE)]

    assert len(servers[0].name) == 20
    assert len(shown) == len(servers)
    for server, line in zip(servers, shown, strict=True):
        assert line.startswith(f"{server.server_id}  {server.name}  production   offline  30h ago")
    assert "…" not in terminal.getvalue()
    assert ("MEMORY" in heading) == (width == 120)


def test_figures_are_left_out_from_the_right_before_a_name_is_cut() -> None:
    line = ("1", "a-name-of-20-letters", "online", "12.5/16 free", "29.1.2")

    assert on_terminal(60, COLUMNS, line)[1:] == [
        "1   a-name-of-20-letters  online  12.5/16 free  29.1.2",
    ]
    assert on_terminal(48, COLUMNS, line)[1:] == [
        "1   a-name-of-20-letters  online  12.5/16 free",
        "No room for DOCKER: widen the terminal, or use -o json.",
    ]
    assert on_terminal(32, COLUMNS, line)[1:] == [
        "1   a-name-of-20-letters  online",
        "No room for CPU, DOCKER: widen the terminal, or use -o json.",
    ]
    assert on_terminal(24, COLUMNS, line)[1] == "1   a-name-of-2…  online"


def test_a_sentence_wraps_within_its_column_and_leaves_names_whole() -> None:
    columns = (Column("NAME", Fit.CUT), Column("REASON", Fit.WRAP))
    reason = "another machine holds the name, which was heard from 3s ago"

    output = on_terminal(50, columns, ("a-name-of-20-letters", reason))

    assert all(line.startswith(("NAME", "a-name-of-20-letters  ", " " * 22)) for line in output)
    assert len(output) > 2
    assert " ".join(line[22:].strip() for line in output[1:]) == reason


@given(rows)
def test_off_a_terminal_nothing_is_cut_and_columns_are_aligned(
    lines: list[tuple[str, ...]],
) -> None:
    output = aligned([[column.title for column in COLUMNS], *lines])

    assert len(output) == 1 + len(lines)
    for line, row in zip(output[1:], lines, strict=True):
        assert line == line.rstrip()
        assert all(cell.rstrip() in line for cell in row)


def test_off_a_terminal_the_output_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_servers([replace(a_server(1), name="[red]\x1b[31m" + "x" * 100)], NOW)

    name = r"[red]\x1b[31m" + "x" * 100
    titles = [column.title for column in SERVER_COLUMNS]
    heading, line, end = capsys.readouterr().out.split("\n")
    assert heading.split() == " ".join(titles).split()
    assert line == (
        f"1001  {name}  production   offline  30h ago    127.5/128 free"
        "  128.0/256.0 GiB free  29.1.2"
    )
    assert end == ""


def test_characters_that_take_two_columns_are_counted_as_two() -> None:
    assert aligned([("NAME", "ID"), ("日本", "1"), ("tokyo", "2")]) == [
        "NAME   ID",
        "日本   1",
        "tokyo  2",
    ]


@pytest.mark.parametrize("name", ["[red]web[/red]", ":smile:", "[link=http://x]a[/link]", "[/]"])
def test_a_name_that_looks_like_markup_is_shown_unchanged(name: str) -> None:
    assert on_terminal(80, COLUMNS, ("1", name, "online", "-", "-"))[1].split()[1] == name
