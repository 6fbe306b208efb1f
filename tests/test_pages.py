"""What README and the pages of docs/ show is so: their code runs, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import keystile
from tests.pages import ORIGIN, PAGES, ROOT, exchanges, follow, left_out, matches, read
from tests.selection import some

TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
RUN = [page for page, text in TEXTS.items() if list(read(text))]
LANGUAGES = {"python", "toml", "console", "http", "json", "sql", "text"}
# How many blocks are not run: this number may only fall.
NOT_RUN = 4
PACKAGE = Path(keystile.__file__).parent


@pytest.mark.parametrize("page", some(RUN, *(page for page in RUN if page == "README.md" or "/start/" in page)))
def test_the_code_of_a_page_runs(page: str, tmp_path: Path) -> None:
    follow(read(TEXTS[page]), tmp_path)


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if ORIGIN.search(text)])
def test_a_block_that_is_a_file_of_the_tests_is_all_of_it(page: str) -> None:
    for each in ORIGIN.finditer(TEXTS[page]):
        assert each["source"] == (ROOT / each["path"]).read_text(encoding="utf-8"), each["path"]


def test_few_blocks_are_not_run() -> None:
    reasons = [reason for text in TEXTS.values() for reason in left_out(read(text))]
    assert len(reasons) <= NOT_RUN, reasons


@pytest.mark.parametrize("page", TEXTS)
def test_a_block_says_its_language(page: str) -> None:
    opened = re.findall(r"^```(\w*)$.*?^```$", TEXTS[page], re.MULTILINE | re.DOTALL)
    assert set(opened) <= LANGUAGES | {""}
    assert "" not in opened or page == "docs/architecture.md"  # its pictures


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_to_pages_and_to_headings(page: str) -> None:
    for link in links(TEXTS[page]):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
        name = str(target.relative_to(ROOT))
        assert target.exists(), link
        assert not anchor or anchor in anchors(TEXTS[name]), link


def links(text: str) -> list[str]:
    """The relative links outside of blocks of code."""
    prose = re.sub(r"^( *)```.*?^\1```$|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r"^\[[^\]]+\]: (\S+)", prose, re.MULTILINE)
    return [each for each in found if not re.match(r"[a-z]+:", each)]


def anchors(text: str) -> set[str]:
    """The headings of a page as a link calls them: in lower case, without punctuation, with hyphens for blanks."""
    titles = re.findall(
        r"^#{1,6} (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_and_headings_are_found() -> None:
    text = "# A Title: `code`, and more\n[a](b.md#c) `[no](link)` [x](https://a.b)\n```text\n# no title\n[no](x)\n```\n"
    assert links(text) == ["b.md#c"]
    assert anchors(text) == {"a-title-code-and-more"}


def test_the_front_page_is_short() -> None:
    assert len(TEXTS["README.md"].split()) < 900


def test_every_promise_of_the_front_page_is_held_by_a_test_that_is_there() -> None:
    promises = rows("README.md", "## What is promised")
    assert len(promises) > 8
    for promise, held in promises:
        link = re.fullmatch(r"\[`(test_\w+)`\]\((tests/[\w/]+\.py)\)", held)
        assert link, promise
        tests = (ROOT / link[2]).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {link[1]}\(", tests, re.MULTILINE), held


@pytest.mark.parametrize("page", [page for page in TEXTS if page.startswith("docs/start/")])
def test_five_minutes_are_few_commands_that_end_in_a_429(page: str) -> None:
    consoles = [each.parsed for each in read(TEXTS[page]) if each.region.lexemes.get("arguments") == "console"]
    commands = [command for source in consoles for command in exchanges(source, 1)]
    assert len(commands) <= 12
    assert commands[-1][2][0] == "HTTP/1.1 429 Too Many Requests"
    assert len(TEXTS[page].split()) < 1500


def test_a_page_is_followed_from_top_to_bottom() -> None:
    text = (
        "<!-- file: a/b.py\nx = 1\n-->\n```python\n# main.py\nx\n```\n```json\n{}\n```\n"
        "<!-- not run: why -->\n```console\n$ one\nsaid\n$ two\n```\n"
    )
    found = read(text)
    assert [(each.line, each.region.lexemes.get("arguments"), each.parsed) for each in found] == [
        (1, "a/b.py", "x = 1\n"),
        (4, "python", "# main.py\nx\n"),
        (11, None, "why"),
        (12, "console", "$ one\nsaid\n$ two\n"),
    ]
    assert left_out(found) == ["why"]
    assert list(exchanges("$ one\nsaid\n$ two\n", 13)) == [(13, "one", ["said"]), (15, "two", [])]


def test_a_block_is_left_out_only_where_its_page_says_so_right_before_it(tmp_path: Path) -> None:
    follow(read("<!-- not run: why -->\n```python\n1 / 0\n```\n"), tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(AssertionError, match=r"^line 4: "):
        follow(read("<!-- not run: why -->\n\n```python\n1 / 0\n```\n"), tmp_path / "b")


@pytest.mark.parametrize(
    ("said", "answered", "same"),
    [
        (["a  b"], "a b\n", True),
        (["a", "…", "c"], "a\nx\ny\nc\n", True),
        (["a…"], "abc\n", True),
        (["a"], "a\nb\n", False),
        (["a.c"], "abc\n", False),
        (["…", "c"], "c\nd\n", False),
    ],
)
def test_what_is_said_is_compared(said: list[str], answered: str, same: bool) -> None:
    assert matches(said, answered) is same


@pytest.mark.parametrize(
    "source",
    [
        "```console\n$ false\n```",
        "```console\n$ echo a\nb\n```",
        "```console\n$ pip install keystile[nothing]\n```",
        "```console\n$ pip install 'keystile<0'\n```",
        "```console\n$ pip install no-such-thing-at-all\n```",
        "```console\n$ uvicorn main:app\n```",
        "```console\n$ kill %% && wait\n```",
        "```python\n1 / 0\n```",
        "```toml\nprefixx = 1\n```",
    ],
)
def test_a_block_that_fails_fails_its_page(source: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"^line 2: "):
        follow(read(source), tmp_path)


def rows(page: str, title: str) -> list[list[str]]:
    """The cells of the first table under this heading."""
    section = f"\n{TEXTS[page]}".partition(f"\n{title}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:2] == "| "][1:]
