"""Measure everything, and write benchmarks/RESULTS.md and the tables and pictures of docs/explain/performance.md.

    python -m benchmarks [--seconds 20] [--quick] [--into .]

About 20 minutes on two idle cores, with `--quick` five. What is quick is written below build/bench, so that it takes
nobody's place. `--seconds` is how long an app is loaded behind a server; a case in process has a fifth of it.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from pathlib import Path

from .report.aims import compared
from .report.pages import ROOT, head, machine, say, write
from .report.parts import PARTS, Settings
from .report.tables import Figures, Table

SECONDS, QUICK = 20.0, 2.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, help=f"for each app behind a server ({SECONDS:g}; quick: {QUICK:g})")
    options.add_argument("--quick", action="store_true", help="to see that it works")
    options.add_argument("--into", type=Path, help="the folder below which files are written")
    given = options.parse_args()
    settings = Settings(given.seconds or (QUICK if given.quick else SECONDS), given.quick)
    into = given.into or (ROOT / "build" / "bench" if given.quick else ROOT)
    command = f"make bench SECONDS={settings.seconds:g}" + (" QUICK=1" if settings.quick else "")
    load = os.getloadavg()[0]
    tables: list[Table] = []
    figures: Figures = {}
    begun = time.monotonic()
    for part in PARTS:
        say(f"{time.monotonic() - begun:6.0f} s  {(part.__doc__ or '').strip()}")
        found, measured = part(settings)
        tables += found
        figures |= measured
        gc.collect()  # what a part leaves behind is not the next one's affair
    for path in write(into, head(command, machine(), load), [compared(figures), *tables]):
        print(os.path.relpath(path))
    say(f"{time.monotonic() - begun:6.0f} s  done")


if __name__ == "__main__":
    main()
