"""The values of settings that have only a few: what each means is said where the setting is."""

from __future__ import annotations

from typing import Literal

LimitBy = Literal["key", "project", "organization"]
OnLimiterError = Literal["local", "allow", "deny"]
ErrorFormat = Literal["envelope", "problem"]
EventFormat = Literal["text", "json"]
Https = Literal["off", "redirect", "require"]
RedirectStatus = Literal[301, 308]
Preflight = Literal["refuse", "pass"]
Foreign = Literal["refuse", "ignore"]
