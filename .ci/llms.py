"""Write llms.txt, a list of the pages, and llms-full.txt, the pages themselves, into a site, for programs that read."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config import load_config


def entries(nav: Any, title: str) -> Iterator[tuple[str, str, str]]:
    """Each page of nav: the shelf it stands on, its title, its path."""
    for each in nav:
        for name, inside in each.items():
            if isinstance(inside, str):
                yield title, name, inside
            else:
                yield from entries(inside, f"{title}: {name}" if title else name)


def write(config: str, site: Path) -> None:
    """Both files. A page without a shelf is what the list begins with."""
    read = load_config(config)
    listed, whole, shelf = [f"# {read.site_name}\n\n> {read.site_description}\n"], [], ""
    for stands, title, path in entries(read.nav, ""):
        if stands != shelf:
            listed.append(f"\n## {stands}\n")
            shelf = stands
        listed.append(f"- [{title}]({re.sub(r'[.]md$', '.html', path)})")
        whole.append(f"<!-- {path} -->\n\n{(Path(read.docs_dir) / path).read_text(encoding='utf-8')}")
    (site / "llms.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")
    (site / "llms-full.txt").write_text("\n".join(whole), encoding="utf-8")


write(sys.argv[1], Path(sys.argv[2]))
