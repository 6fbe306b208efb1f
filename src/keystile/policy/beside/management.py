"""Whether and where the gate itself serves the management API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..._ground.checks import check_root_path, names_checked
from ...exceptions import ConfigurationError
from ..rules import Rule
from ..settings import check_settings, setting

FieldCase = Literal["snake", "camel"]


def check_mount(value: Any, key: str) -> str:
    """A path that something is mounted at: not empty, and without a slash at its end."""
    if not check_root_path(value, key):
        raise ConfigurationError("expected a path like '/manage': the root belongs to the app", key=key)
    return str(value)


@names_checked
@dataclass(frozen=True, slots=True)
class Management:
    """Where the gate itself serves the management API, and how. docs/reference/settings.md describes each setting.

    Raises:
        ConfigurationError: a setting has the wrong type or value.
    """

    path: str = setting(
        "The path below which requests are answered here and do not reach the app. A key is needed, as everywhere.",
        default="/manage",
        check=check_mount,
    )
    field_case: FieldCase = setting(
        'How the names of members are written: "snake" (`api_key`) or "camel" (`apiKey`).', default="snake"
    )
    public_openapi: bool = setting(
        "Whether `openapi.json` below it is given to those without a key. It tells strangers nothing of keys, but the "
        "names of the plans.",
        default=False,
    )
    live: bool = setting(
        "Whether `events` below it is a stream of what each process refuses: docs/guides/live.md.",
        default=False,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def rules(self) -> tuple[tuple[str, Rule], ...]:
        """What it adds to the gate's rules, each with the name of the setting that it came from."""
        if not self.public_openapi:
            return ()
        return (("management", Rule(f"GET {self.path}/openapi.json", public=True)),)
