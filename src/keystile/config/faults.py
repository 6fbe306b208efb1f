"""How an exception of a service's own code is reported: one line that says what and where, and holds no secret.

The message comes from the service and may hold its settings. So values of the environment are replaced by their names,
and user and password are left out of URLs.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from traceback import extract_tb

# A longer line is not a summary, and a framework may have put anything at its end.
_LONGEST = 300
# A shorter value is not treated as a secret: ordinary words of the message would look like one. It may be shorter if
# its name calls it a secret.
_TELLING, _SHORTEST = 8, 4
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASS|PWD|PEPPER|CREDENTIAL|DSN|AUTH", re.IGNORECASE)
_USER = re.compile(r"://[^\s/]*@")


def told(error: BaseException, environ: Mapping[str, str]) -> str:
    """``NameError: name 'x' is not defined (service/main.py, line 3)``."""
    words = _without_secrets(_first_line(error), environ)
    said = f"{type(error).__name__}: {words}" if words else type(error).__name__
    place = _place_of(error)
    return f"{said} ({place})" if place else said


def _first_line(error: BaseException) -> str:
    # The text of a SyntaxError ends with the place, which is added here for every exception.
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception as wrong:  # noqa: BLE001 - it is the service's own code
        text = f"its text cannot be shown: {type(wrong).__name__}"
    line = (text.strip().splitlines() or [""])[0]
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"


def _without_secrets(line: str, environ: Mapping[str, str]) -> str:
    line = _USER.sub("://…@", line)
    for name, value in sorted(environ.items(), key=lambda each: -len(each[1])):
        if len(value) >= (_SHORTEST if _SECRET.search(name) else _TELLING):
            line = line.replace(value, f"${{{name}}}")
    return line


def _place_of(error: BaseException) -> str | None:
    """File and line of the deepest frame in the service's own code; for a SyntaxError, of the faulty line."""
    if isinstance(error, SyntaxError) and error.filename:
        return _shown(error.filename, error.lineno)
    frames = [frame for frame in extract_tb(error.__traceback__) if _is_file(frame.filename)]
    own = [frame for frame in frames if not frame.filename.startswith(_INSTALLED)]
    found = (own or frames)[-1:]
    return _shown(found[0].filename, found[0].lineno) if found else None


def _shown(file: str, line: int | None) -> str:
    path, here = Path(file), Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}, line {line}"


_HERE = str(Path(__file__).parent) + os.sep
_INSTALLED = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _is_file(name: str) -> bool:
    return not name.startswith((_HERE, "<"))
