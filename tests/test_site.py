"""The site that `make site` builds: every page is in it once, every link leads somewhere, nothing is fetched from
elsewhere."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import keystile
from tests.pages import ROOT

DOCS = ROOT / "docs"
# Of a page or a style sheet: what a browser fetches by itself. Links that people follow may lead anywhere.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?(?P<src>(?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|modulepreload|icon|dns-prefetch|manifest))"""
    r"""[^>]*\bhref=["']?(?P<href>(?:https?:)?//[^"'\s>]+)"""
    r"""|(?:@import\s+(?:url\()?|url\()\s*["']?(?P<url>(?:https?:)?//[^"')\s]+)""",
    re.IGNORECASE,
)


class Loader(yaml.SafeLoader):
    """Reads over names of Python objects."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
CONFIG = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)


def entries(nav: Any) -> Iterator[str]:
    """The pages that a part of nav names."""
    if isinstance(nav, str):
        yield nav
    else:
        for each in nav.values() if isinstance(nav, dict) else nav:
            yield from entries(each)


def build(docs: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """The site of a folder of pages beside a `mkdocs.yml`, built without a network."""
    # Whoever asks for something outside has this address, and gets no answer there.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    return subprocess.run(
        # Not --quiet: what it does not say it does not count either.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", docs / "mkdocs.yml", "-d", into],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={"PATH": "/usr/bin:/bin", "HOME": str(into.parent), "NO_MKDOCS_2_WARNING": "1", **nowhere},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is built."""
    into = tmp_path_factory.mktemp("made") / "site"
    done = build(ROOT, into)
    assert done.returncode == 0, done.stdout + done.stderr
    return into


def test_every_page_is_in_nav_exactly_once() -> None:
    listed = sorted(entries(CONFIG["nav"]))
    assert listed == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_every_page_stands_on_one_of_the_shelves() -> None:
    assert {page.name for page in DOCS.glob("*.md")} == {"index.md", "architecture.md"}
    assert {each.name for each in DOCS.iterdir() if each.is_dir()} == {
        "start",
        "guides",
        "reference",
        "explain",
        "images",
    }


def test_a_browser_fetches_nothing_from_elsewhere(site: Path) -> None:
    read = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    assert len(read) > 30
    found = [
        (path.name, each[0]) for path in read for each in FETCHED.finditer(path.read_text("utf-8", errors="replace"))
    ]
    assert found == []


def test_no_page_needs_what_the_themes_script_would_fetch(site: Path) -> None:
    """The script of the theme asks unpkg.com for a drawing library where a page has a drawing of that kind."""
    for page in site.rglob("*.html"):
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8"), page


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://a.b/c.js">',
        "<link rel=stylesheet href=//fonts.a.b/c.css>",
        '<link href="https://a.b" rel="preconnect">',
        '@import "https://a.b/c.css"',
        "src: url(https://a.b/c.woff2)",
        '<img alt="a" src="http://a.b/c.png">',
    ],
)
def test_what_a_browser_would_fetch_is_found(text: str) -> None:
    assert FETCHED.search(text)
    assert not FETCHED.search('<a href="https://a.b">a</a><link rel="canonical" href="https://a.b/">')


def test_each_link_of_the_site_leads_to_a_page_and_a_place_on_it(site: Path) -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    places = {path: set(re.findall(r'\bid="?([^"\s>]+)', text)) for path, text in pages.items()}
    for path, text in pages.items():
        if path.name == "404.html":
            continue
        for link in re.findall(r'<a\b[^>]*\bhref="?([^"\s>]+)', text):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, place = link.partition("#")
            leads = (path.parent / target).resolve() if target else path
            assert leads.exists(), (path.name, link)
            known = places.get(leads, set())
            assert not place or place.startswith("__") or place in known, (path.name, link)


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    """With the settings of our own file; mkdocs itself passes over places that are not there."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A\n\n[a](none.md)\n[a](other.md#none)\n[a](#none)\n")
    (tmp_path / "docs" / "other.md").write_text("# B\n")
    kept = {name: CONFIG[name] for name in ("strict", "validation")}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump({"site_name": "a", "plugins": [], **kept}))
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1, done.stderr
    assert [f"a link '{link}'" in done.stderr for link in ("none.md", "other.md#none", "#none")] == [True] * 3


def test_every_public_name_has_its_place_on_the_page_of_python(site: Path) -> None:
    named = set(re.findall(r"^::: ([\w.]+)$", (DOCS / "reference" / "python.md").read_text(), re.MULTILINE))
    wanted = {f"keystile.{name}" for name in keystile.__all__}
    for module in ("asgi", "wsgi", "pagination", "webhooks"):
        wanted |= {f"keystile.{module}.{name}" for name in importlib.import_module(f"keystile.{module}").__all__}
    assert sorted(wanted - named) == []
    made = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in named:
        assert f'id="{name}"' in made, name


def test_programs_find_each_page_in_the_order_of_nav(site: Path) -> None:
    subprocess.run([sys.executable, ROOT / ".ci" / "llms.py", ROOT / "mkdocs.yml", site], check=True, timeout=60)
    pages = list(entries(CONFIG["nav"]))
    linked = re.findall(r"^- \[[^\]]+\]\((\S+)\)$", (site / "llms.txt").read_text("utf-8"), re.MULTILINE)
    assert linked == [page.removesuffix(".md") + ".html" for page in pages]
    assert [link for link in linked if not (site / link).is_file()] == []
    whole = (site / "llms-full.txt").read_text("utf-8")
    at = [whole.index(f"<!-- {page} -->\n\n{(DOCS / page).read_text('utf-8')}") for page in pages]
    assert at == sorted(at)


def test_the_repository_keeps_no_site() -> None:
    assert "site/" in (ROOT / ".gitignore").read_text().splitlines()
