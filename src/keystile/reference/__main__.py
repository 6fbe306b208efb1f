"""Writes the pages into the folder that is named."""

from __future__ import annotations

import sys
from pathlib import Path

from . import pages

for _name, _text in pages.written().items():
    Path(sys.argv[1], _name).write_text(_text, encoding="utf-8")
