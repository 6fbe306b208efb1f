"""What holds for the integration of every framework."""

from __future__ import annotations

import subprocess
import sys

import pytest

MISSING = [
    ("fastapi", ["fastapi"]),
    ("flask", ["flask"]),
    ("django", ["django"]),
    ("drf", ["rest_framework"]),
    ("drf", ["rest_framework", "django"]),  # as where only keystile itself is installed
    ("litestar", ["litestar"]),
]


@pytest.mark.parametrize(("name", "missing"), MISSING)
def test_what_is_missing_is_named_with_its_extra(name: str, missing: list[str]) -> None:
    script = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\nimport keystile.integrations.{name}"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert told.stderr.splitlines()[-1].endswith(f"pip install 'keystile[{name}]'")
