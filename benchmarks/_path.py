"""Imported first by every benchmark: `limits` is the library, although a benchmark of that name stands beside it."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != _HERE]
import limits  # noqa: E402, F401 - what is loaded once is found by all who ask later

# Behind everything that is installed: the helpers here, and the servers that the tests start.
sys.path += [str(_HERE), str(_HERE.parent)]
