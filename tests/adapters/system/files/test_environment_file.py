import pytest

from adapters.system.files.environment_file import parse_environment_file


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("  A =  two words  ", "two words"),
        ("A=", ""),
        ("A=a=b", "a=b"),
        ("A=k # no comment", "k # no comment"),
        ('A="a # b "', "a # b "),
        ("A='single \\n $x'", "single \\n $x"),
        (r'A="a \" \\ \n \$ b"', 'a " \\ \\n $ b'),
        ("A=bare\\ value\\\ncontinued", "bare valuecontinued"),
        ("A=end\\ ", "end "),
        ("A=end\\\\", "end\\"),
        ('A="two\nlines"', "two\nlines"),
        ('A="one \\\nline"', "one line"),
        ('A=x"y"z', 'x"y"z'),
        ("A=\"a\" 'b' c ", "abc"),
        ("A='it'\"'\"'s'", "it's"),
        ('A="never closed\nB=1', "never closed\nB=1"),
        ("A=first\nA=last", "last"),
        ("A=windows\r", "windows"),
        ("A=bytes \udcff", "bytes \udcff"),
        ("A=end of file\\", "end of file"),
    ],
)
def test_a_value_is_read_as_systemd_reads_it(line: str, value: str) -> None:
    # The values are those of the user environment generator of systemd 252.
    assert parse_environment_file(line) == {"A": value}
    assert parse_environment_file(f"# comment\n\n{line}")["A"] == value


@pytest.mark.parametrize("line", ["# A=1", "; A=1", "  # A=1", "no assignment", "=1", ""])
def test_a_line_without_an_assignment_is_skipped(line: str) -> None:
    assert parse_environment_file(f"{line}\nB=2\n") == {"B": "2"}


def test_export_before_a_name_is_not_the_variable() -> None:
    # A shell accepts this line; systemd ignores it.
    assert "A" not in parse_environment_file("export A=1")
