"""What holds for the integration of every framework."""

from __future__ import annotations

import subprocess
import sys

import pytest

FRAMEWORKS = {"flask": "flask", "django": "django", "drf": "rest_framework", "litestar": "litestar"}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_is_missing_is_named_with_its_extra(name: str) -> None:
    script = f"import sys; sys.modules[{FRAMEWORKS[name]!r}] = None\nimport keystile.integrations.{name}"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert told.stderr.splitlines()[-1].endswith(f"pip install 'keystile[{name}]'")
