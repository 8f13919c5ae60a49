import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.cli.views.output import as_json, console, print_document, print_lines, printable
from tests.support.tty import Tty, replace_stdout

# Every character, lone surrogates included, as those in texts of broken encoding.
any_text = st.text(st.characters(categories=None, exclude_categories=()))


@given(any_text)
def test_no_text_contains_a_character_that_a_terminal_obeys(text: str) -> None:
    assert printable(text).isprintable()


@given(any_text)
def test_printable_characters_stay_as_they_are(text: str) -> None:
    kept = "".join(char for char in text if char.isprintable())

    assert printable(kept) == kept
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("red\x1b[31m", r"red\x1b[31m"),
        ("two\nlines", r"two\nlines"),
        ("one byte is enough\x9b31m", r"one byte is enough\x9b31m"),
        ("user\u202egnp.exe", r"user\u202egnp.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("日本 é ✓ 🙂", "日本 é ✓ 🙂"),
        ("[red]no markup[/red] :smile:", "[red]no markup[/red] :smile:"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(text: str, escaped: str) -> None:
    assert printable(text) == escaped


def test_each_text_is_printed_as_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines("deleted server 1 (a\nb)", "deleted server 2 (\x1b[2J)")

    assert capsys.readouterr().out == "deleted server 1 (a\\nb)\ndeleted server 2 (\\x1b[2J)\n"


@given(st.recursive(st.text(), lambda values: st.dictionaries(st.text(), values), max_leaves=5))
def test_json_means_the_same_and_contains_nothing_that_a_terminal_obeys(value: object) -> None:
    text = as_json(value)

    assert json.loads(text) == value
    assert all(line.isprintable() for line in text.split("\n"))


@given(st.dictionaries(st.text(), st.text()))
def test_a_document_means_the_same_on_a_terminal(value: dict[str, str]) -> None:
    document = json.dumps(value, ensure_ascii=False, indent="\t")
    with pytest.MonkeyPatch.context() as monkeypatch:
        terminal = replace_stdout(monkeypatch, 80)
        print_document(document)

    assert json.loads(terminal.getvalue()) == value
    assert all(char.isprintable() or char in "\n\t" for char in terminal.getvalue())


def test_a_document_is_piped_byte_for_byte(capsys: pytest.CaptureFixture[str]) -> None:
    document = '{"direction":\t"\u202e", "c1": "\x9b"}\n'
    print_document(document)

    assert capsys.readouterr().out == document


def test_markup_emoji_codes_and_numbers_are_plain_text_on_the_console(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Tty()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    console().print("[bold red]web[/] :smile: 42 https://example.com 'quoted'")

    assert terminal.getvalue() == "[bold red]web[/] :smile: 42 https://example.com 'quoted'\n"


def test_no_environment_variable_puts_styles_into_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"):
        monkeypatch.setenv(name, "1")
    console().print("web", style="bold")

    assert capsys.readouterr().out == "web\n"
