from hypothesis import given
from hypothesis import strategies as st

from entrypoints.cli.views.screen import fitting, wrapped
from entrypoints.cli.views.tables import table, text_width, truncate

COLUMNS = ("ID", "NAME", "STATUS", "DOCKER")

cells = st.text(st.characters(categories=["L", "N", "P", "S", "M"]), max_size=300)
rows = st.lists(st.tuples(st.just("4711"), cells, st.just("offline"), cells), max_size=5)


@given(rows, st.integers(min_value=1, max_value=200))
def test_no_line_of_a_table_is_wider_than_it_may_be(
    lines: list[tuple[str, ...]], width: int
) -> None:
    assert all(text_width(line) <= width for line in fitting([COLUMNS, *lines], width))


@given(rows)
def test_what_must_not_be_cut_is_there_as_a_whole(lines: list[tuple[str, ...]]) -> None:
    shown = fitting([COLUMNS, *lines], 40, never_cut=("ID", "STATUS"))

    assert all("4711" in line and "offline" in line for line in shown[1:])


@given(rows)
def test_a_table_that_fits_is_not_cut(lines: list[tuple[str, ...]]) -> None:
    assert fitting([COLUMNS, *lines], 2000) == table(COLUMNS, lines).split("\n")


def test_the_longest_cells_are_cut_first_and_the_last_columns_go_when_that_is_not_enough() -> None:
    lines = [COLUMNS, ("1", "a-rather-long-name", "online", "27.5.1")]

    assert fitting(lines, 30) == [
        "ID  NAME        STATUS  DOCKER",
        "1   a-rather-…  online  27.5.1",
    ]
    assert fitting(lines, 20) == ["ID  NAME      STATUS", "1   a-rathe…  online"]


def test_signs_that_take_two_columns_are_counted_as_two() -> None:
    assert truncate("日本語サーバー", 8) == "日本語…"
    assert table(("NAME", "ID"), [("日本", "1"), ("tokyo", "2")]).split("\n") == [
        "NAME   ID",
        "日本   1",
        "tokyo  2",
    ]


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    assert fitting([("NAME",), ("red\x1b[31m",)], 20)[1] == "red [31m"


def test_a_line_of_a_log_is_wrapped_and_ends_with_what_to_do() -> None:
    line = "DOCKER_SOCKET /var/run/docker.sock does not exist: start Docker. Figures of its own."
    lines = wrapped(line, 40)

    assert all(text_width(part) <= 40 for part in lines)
    assert " ".join(part.strip() for part in lines) == line
