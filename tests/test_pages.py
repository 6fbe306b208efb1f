"""What README and the pages of docs/ show is so: their code runs, their links lead somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

import keystile
from keystile.policy import RedirectStatus
from tests.pages import ORIGIN, PAGES, ROOT, Block, Reader, blocks, exchanges, matches

TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
BLOCKS = {page: found for page, text in TEXTS.items() if (found := blocks(text))}
LANGUAGES = {"python", "toml", "console", "http", "json", "sql"}
# How many blocks are not run: this number may only fall.
NOT_RUN = 5
PACKAGE = Path(keystile.__file__).parent


@pytest.mark.parametrize("page", BLOCKS)
def test_the_code_of_a_page_runs(page: str, tmp_path: Path) -> None:
    Reader(tmp_path).follow(BLOCKS[page])


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if ORIGIN.search(text)])
def test_a_block_that_is_a_file_of_the_tests_is_all_of_it(page: str) -> None:
    for each in ORIGIN.finditer(TEXTS[page]):
        assert each["source"] == (ROOT / each["path"]).read_text(encoding="utf-8"), each["path"]


def test_few_blocks_are_not_run() -> None:
    left_out = [block.not_run for page in BLOCKS.values() for block in page if block.not_run]
    assert len(left_out) <= NOT_RUN, left_out


@pytest.mark.parametrize("page", TEXTS)
def test_a_block_says_its_language(page: str) -> None:
    opened = re.findall(r"^```(\w*)$.*?^```$", TEXTS[page], re.MULTILINE | re.DOTALL)
    assert set(opened) <= LANGUAGES | {""}
    assert "" not in opened or page == "docs/architecture.md"  # its picture


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


def test_the_front_page_is_short_and_names_every_page() -> None:
    assert 900 <= len(TEXTS["README.md"].split()) <= 1100
    named = {link.partition("#")[0] for link in links(TEXTS["README.md"])}
    assert {page for page in TEXTS if page.startswith("docs/")} <= named


def test_a_page_is_followed_from_top_to_bottom() -> None:
    text = (
        "<!-- file: a/b.py\nx = 1\n-->\n```python\n# main.py\nx\n```\n```json\n{}\n```\n"
        "<!-- not run: why -->\n```console\n$ one\nsaid\n$ two\n```\n"
    )
    assert blocks(text) == [
        Block(2, "", "x = 1\n", None, "a/b.py"),
        Block(5, "python", "# main.py\nx\n", None, "main.py"),
        (console := Block(13, "console", "$ one\nsaid\n$ two\n", "why", None)),
    ]
    assert list(exchanges(console)) == [(13, "one", ["said"]), (15, "two", [])]


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
    ["```console\n$ false\n```", "```console\n$ echo a\nb\n```", "```python\n1 / 0\n```", "```toml\nprefixx = 1\n```"],
)
def test_a_block_that_fails_fails_its_page(source: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"^line 2: "):
        Reader(tmp_path).follow(blocks(source))


def rows(page: str, title: str) -> list[list[str]]:
    """The cells of the first table under this heading."""
    section = f"\n{TEXTS[page]}".partition(f"\n{title}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:2] == "| "][1:]


def reasons(*folders: str) -> set[tuple[int, str]]:
    """The status and the code of every refusal that these folders of the package make, where both stand there."""
    found = set()
    for path in [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Reason":
                status, code = node.args[:2]
                if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                    found.add((status.value, code.value))
    return found


def codes(page: str, title: str) -> set[tuple[int, str]]:
    """Every status with every code beside it in the first table under this heading."""
    return {
        (int(status), code)
        for statuses, told, *_ in rows(page, title)
        for status in statuses.split(", ")
        for code in re.findall(r"`([a-z_]+)`", told)
    }


def test_every_refusal_has_its_line_on_the_page_of_answers() -> None:
    told = codes("docs/answers.md", "## Refusals")
    others = [path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "manage"]
    assert len(told) > 12
    assert told == reasons(*others, "manage/live") | {(status, "https_required") for status in get_args(RedirectStatus)}


def test_every_error_of_the_management_api_has_its_line_on_its_page() -> None:
    told = codes("docs/management.md", "## Errors")
    assert len(told) > 12
    assert sorted(reasons("manage") - told - codes("docs/answers.md", "## Refusals")) == []
    source = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert [code for _, code in sorted(told) if f'"{code}"' not in source and code != "fields"] == []


# The functions that tell an event whose code is their first argument, and where else a code stands.
TELLING = {"Event", "event_of", "_warn", "_tell_seldom", "made", "purged", "changed", "ended", "_tell"}


def events() -> set[str]:
    """The code of every event that the package tells, refusals apart."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                words = [each.value if isinstance(each, ast.Constant) else None for each in node.args]
                if name in TELLING and words:
                    found.add(words[0])
                elif name == "Outage":
                    found |= {f"{words[1]}_down", f"{words[1]}_up"}
                elif name == "asked" and len(words) > 2:
                    found.add(f"{words[0]}.{words[2]}")
    return {each for each in found if isinstance(each, str)}


def test_every_event_has_its_line_on_the_page_of_events() -> None:
    told = {code for row in rows("docs/events.md", "# Events") for code in re.findall(r"`([\w.]+)`", row[0])}
    assert len(told) > 30
    assert told - {"error.code"} == events()
