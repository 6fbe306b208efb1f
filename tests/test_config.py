"""keystile.toml and the environment: what is read, and how what is wrong is said."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from keystile import ConfigurationError, KeystileError, Plan, Rule
from keystile.config.example import example
from keystile.config.file import load, open_gate

PEPPER = "a pepper of more than 16 bytes"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keystile.toml"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("KEYSTILE_"):
            monkeypatch.delenv(name)


def refusal(file: Path, text: str, environ: dict[str, str] | None = None) -> ConfigurationError:
    """How this file is refused."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        open_gate(load(file, environ or {})).close()
    assert caught.value.source == str(file)
    assert caught.value.__cause__ is None
    return caught.value


def test_all_settings_reach_the_gate(file: Path) -> None:
    file.write_text(
        """
        app = "service.main:app"
        store = "sqlite:///keys.db"
        prefix = "acme"
        public = ["/health", "/static/*"]
        accept = ["x-api-key"]
        realm = "acme"
        peppers = ["a pepper of more than 16 bytes"]
        accept_crc = true
        hasher = "hmac-sha256"
        limiter = "sqlite:///windows.db"
        default_plan = "free"
        limit_by = "organization"
        anonymous_limits = ["30/minute", "300/hour"]
        failure_limits = "9/minute"
        address_wait = 0.5
        hashing_wait = 3
        wsgi_threads = 16
        remembered_keys = 5000
        on_limiter_error = "deny"
        ietf_headers = true
        preflight = "pass"
        redirect_status = 308
        [[rules]]
        match = "POST /v1/exports"
        scopes = ["exports:write"]
        limits = "10/hour"
        cost = 2
        [[rules]]
        match = "/v1/status"
        public = true
        [plans.free]
        limits = "60/minute; 5000/day"
        [plans.pro]
        limits = ["1000/minute", "9000/hour"]
        [plans.enterprise]
        """
    )
    settings = load(file, {})
    assert settings.source == str(file)
    assert settings.app == "service.main:app"
    gate = open_gate(settings)
    assert gate.policy.rules == (
        Rule("POST /v1/exports", scopes=("exports:write",), limits="10/hour", cost=2),
        Rule("/v1/status", public=True),
    )
    assert gate.policy.public == ("/health", "/static/*")
    assert gate.policy.accept == ("X-API-Key",)
    assert gate.policy.realm == "acme"
    assert gate.policy.plans == {
        "free": Plan("60/minute; 5000/day"),
        "pro": Plan(("1000/minute", "9000/hour")),
        "enterprise": Plan(None),
    }
    assert (gate.policy.default_plan, gate.policy.limit_by) == ("free", "organization")
    assert (gate.policy.address_wait, gate.policy.hashing_wait) == (0.5, 3)
    assert (gate.policy.wsgi_threads, gate.policy.remembered_keys) == (16, 5000)
    assert (gate.policy.anonymous_limits, gate.policy.failure_limits) == (("30/minute", "300/hour"), "9/minute")
    assert (gate.policy.on_limiter_error, gate.policy.ietf_headers) == ("deny", True)
    assert (gate.policy.preflight, gate.policy.redirect_status) == ("pass", 308)
    assert repr(gate.limits.limiter) == f"SQLiteLimiter({str(file.parent / 'windows.db')!r})"
    issued = gate.keys.create(name="ci")
    assert issued.secret.startswith("acme_live_")
    assert gate.keys.get(issued.key.id) == issued.key
    gate.close()


def test_an_empty_file_is_a_gate_with_the_defaults(file: Path) -> None:
    file.write_text("")
    settings = load(file, {})
    assert (settings.app, dict(settings.gate)) == (None, {})
    open_gate(settings).close()


def test_the_example_can_be_used_as_it_is_and_uncommented(file: Path) -> None:
    text = example(PEPPER)
    file.write_text(text)
    open_gate(load(file, {})).close()
    lines = text.splitlines()
    settings = [
        line.removeprefix("# ") for line in lines if not line.startswith("# ") or " = " in line or "# [" in line
    ]
    file.write_text("\n".join(settings))
    assert {"app", "rules", "limiter", "plans", "default_plan"} <= set(tomllib.loads(file.read_text()))
    gate = open_gate(load(file, {}))
    assert list(gate.policy.plans) == ["free", "pro"]
    assert gate.keys.create(name="ci", plan="pro").key.plan == "pro"
    gate.close()


def test_the_budget_for_failed_proofs_can_be_switched_off(file: Path) -> None:
    file.write_text("failure_limits = false")
    gate = open_gate(load(file, {}))
    assert gate.policy.failure_limits is None
    gate.close()


WRONG = {
    "unknown": ('colour = "x"', "colour", "no such setting; there are store, peppers"),
    "unknown table": ("[colours.red]\nx = 1", "colours", "no such setting"),
    "proxies: text": ('trusted_proxies = "10.0.0.0/8"', "trusted_proxies", "expected a list of strings"),
    "proxies: host bits": ('trusted_proxies = ["10.0.0.1/8"]', "trusted_proxies[0]", "did you mean '10.0.0.0/8', or"),
    "proxies: name": ('trusted_proxies = ["10.0.0.0/8", "lb"]', "trusted_proxies[1]", "not an address"),
    "hops: none": ("trusted_hops = 0", "trusted_hops", "expected a whole number of at least 1"),
    "hops: text": ('trusted_hops = "1"', "trusted_hops", "expected a whole number, got a string"),
    "client_header": ('client_header = "a b"', "client_header", "expected a name of letters"),
    "hsts": ("hsts = 0", "hsts", "expected a whole number of at least 1"),
    "recheck_in_flight": ("recheck_in_flight = 1", "recheck_in_flight", "expected true or false"),
    "accept of a parameter": ('accept = ["?a&b"]', "accept", "expected a name of letters"),
    "query_parameter": ('query_parameter = "key"', "query_parameter", "did you mean accept=['?name']"),
    "event_format": ('event_format = "xml"', "event_format", "expected one of text, json"),
    "https: unknown": ('https = "always"', "https", "expected one of off, redirect, require"),
    "redirect_status: unknown": ("redirect_status = 302", "redirect_status", "expected one of 301, 308"),
    "redirect_status: text": ('redirect_status = "308"', "redirect_status", "expected one of 301, 308, got a string"),
    "preflight: unknown": ('preflight = "allow"', "preflight", "expected one of refuse, pass"),
    "cors_origins: wildcard": ('cors_origins = ["https://*.example"]', "cors_origins[0]", "there are no wildcards"),
    "cors_origins: path": ('cors_origins = ["https://a.example/"]', "cors_origins[0]", "mean 'https://a.example'?"),
    "cors_credentials: alone": ("cors_credentials = true", "cors_credentials", "says nothing without cors_origins"),
    "allow: empty": ("allow = []", "allow", "is empty: leave it out for no list"),
    "deny: no address": ('deny = ["localhost"]', "deny", "'localhost' is not an address or CIDR network"),
    "deny: of a rule": ('[[rules]]\nmatch = "/a"\ndeny = ["10.0.0.1/8"]', "rules[0].deny", "has host bits set"),
    "allow: and deny": ('allow = ["::1"]\ndeny = ["::1"]', "allow", "::1/128 would never be admitted: deny holds it"),
    "preflight: true": ("preflight = true", "preflight", "expected one of refuse, pass, got true or false"),
    "https: no URL": ('https = "redirect"', "https", "needs public_url"),
    "https: plain URL": ('https = "redirect"\npublic_url = "http://a.example"', "https", "needs public_url"),
    "management: no path": ('[management]\npath = "manage"', "management.path", "expected a path like '/api'"),
    "management: the root": ('[management]\npath = ""', "management.path", "the root belongs to the app"),
    "management: case": ('[management]\nfield_case = "kebab"', "management.field_case", "expected one of snake"),
    "management: unknown": ('[management]\nauthorize = "x"', "management.authorize", "no such setting"),
    "only in code": ("clock = 1", "clock", "no such setting"),
    "misspelt": ('perfix = "acme"', "perfix", "did you mean 'prefix'?"),
    "misspelt in a rule": ('[[rules]]\nmatch = "/a"\nscope = []', "rules[0].scope", "did you mean 'scopes'?"),
    "envelope: text": ('envelope = "yes"', "envelope", "expected true or false, got a string"),
    "envelope in a rule": ('[[rules]]\nmatch = "/a"\nenvelope = 1', "rules[0].envelope", "expected true or false"),
    "envelope: public": ('[[rules]]\nmatch = "/a"\npublic = true\nenvelope = true', "rules[0].envelope", "is public"),
    "error_format": ('error_format = "xml"', "error_format", "expected one of envelope, problem"),
    "propagate_exceptions": ("propagate_exceptions = 1", "propagate_exceptions", "expected true or false, got a num"),
    "require_json": ('require_json = "yes"', "require_json", "expected true or false, got a string"),
    "max_json_body": ("max_json_body = 0", "max_json_body", "expected a whole number of at least 1, got 0"),
    "public_url: path": ('public_url = "https://a.example/b"', "public_url", "expected a scheme and a host"),
    "public_url: relative": ('public_url = "a.example"', "public_url", "expected a scheme and a host"),
    "public_url: user": ('public_url = "https://u:p@a.example"', "public_url", "expected a scheme and a host"),
    "public_url: port": ('public_url = "https://a.example:x"', "public_url", "expected a scheme and a host"),
    "public_url: controls": ('public_url = "https://a\\nb"', "public_url", "expected a scheme and a host"),
    "cursor_secrets: short": ('cursor_secrets = ["short"]', "cursor_secrets", "at least 16 bytes"),
    "cursor_secrets: text": (
        'cursor_secrets = "long enough to be one"',
        "cursor_secrets",
        "expected a list of strings",
    ),
    "page_style: text": ('page_style = "flat"', "page_style", "expected a table, got a string"),
    "page_style: unknown": ("[page_style]\nhas_mor = 1", "page_style.has_mor", "did you mean 'has_more'?"),
    "page_style: true": ("[page_style]\nmember = true", "page_style.member", "a string or false, got true"),
    "page_style: number": ("[page_style]\nhas_more = 1", "page_style.has_more", "expected a string, got a number"),
    "page_style: name": ('[page_style]\nhas_more = "a b"', "page_style.has_more", "expected a name of letters"),
    "page_style: twice": ('[page_style]\nhas_more = "limit"', "page_style.has_more", "already the name of another"),
    "page_style: taken": ('[page_style]\nmember = "data"', "page_style.member", "already the name of another"),
    "page_style: parameter": ('[page_style]\nparameter = "limit"', "page_style.parameter", "another parameter"),
    "page_style: limits": ("[page_style]\ndefault_limit = 101", "page_style.default_limit", "is above max_limit"),
    "page_style: no limit": (
        "[page_style]\nmax_limit = 0",
        "page_style.max_limit",
        "expected a whole number of at least 1",
    ),
    "a cap of less than none": ("[plans.a]\nmax_keys = -1", "plans.a.max_keys", "a whole number from 0"),
    "a cap of nobody": ("[plans.a]\nmax_keys = 1\ncap_by = []", "plans.a.cap_by", "names nobody"),
    "a cap of somebody else": ('[plans.a]\nmax_keys = 1\ncap_by = ["team"]', "plans.a.cap_by", "expected one of owner"),
    "another way to be full": ('[plans.a]\nmax_keys = 1\nwhen_full = "wait"', "plans.a.when_full", "expected one of"),
    "a way to be full without a cap": (
        '[plans.a]\nwhen_full = "revoke_oldest"',
        "plans.a.when_full",
        "without max_keys",
    ),
    "a cap of an owner without a number": ('[plans.a]\ncap_by = ["owner"]', "plans.a.cap_by", "without max_keys"),
    "no room to make": ('[plans.a]\nmax_keys = 0\nwhen_full = "revoke_oldest"', "plans.a.when_full", "max_keys is 0"),
    "access that is no flag": ("[plans.a]\naccess = 1", "plans.a.access", "expected true or false"),
    "misspelt in a plan": ('[plans.a]\nlimit = "5/day"', "plans.a.limit", "did you mean 'limits'?"),
    "plans: text": ('plans = "free"', "plans", "expected a table of tables, got a string"),
    "plans: list": ('[[plans]]\nlimits = "5/day"', "plans", "expected a table of tables, got a list"),
    "plan: text": ('[plans]\nfree = "5/day"', "plans.free", "expected a table, got a string"),
    "plan: number": ("[plans.free]\nlimits = 5", "plans.free.limits", "expected a string or a list of strings"),
    "plan: off": ("[plans.free]\nlimits = false", "plans.free.limits", "list of strings, got true or false"),
    "plan: number in it": ('[plans.free]\nlimits = ["5/day", 5]', "plans.free.limits[1]", "expected a string, got"),
    "plan: nothing": ("[plans.free]\nlimits = []", "plans.free.limits", "is empty"),
    "plan: notation": ('[plans.free]\nlimits = "often"', "plans.free.limits", "cannot read 'often'; write '60/minute'"),
    "plan: contradiction": ('[plans.free]\nlimits = ["9/minute", "5/hour"]', "plans.free.limits", "allows more than"),
    "plan: no name": ('[plans.""]\nlimits = "5/day"', "plans.", "expected a Plan for each name"),
    "default_plan": ('default_plan = "pro"\n[plans.free]', "default_plan", "there is no plan 'pro'; there are free"),
    "default_plan: near": ('default_plan = "fre"\n[plans.free]', "default_plan", "'fre'; did you mean 'free'?"),
    "default_plan: none": ('default_plan = "pro"', "default_plan", "there is no plan 'pro'; there are none"),
    "limit_by": ('limit_by = "address"', "limit_by", "expected one of key, project, organization"),
    "on_limiter_error": ('on_limiter_error = "panic"', "on_limiter_error", "expected one of local, allow, deny"),
    "ietf_headers": ('ietf_headers = "yes"', "ietf_headers", "expected true or false, got a string"),
    "anonymous_limits: notation": ('anonymous_limits = "often"', "anonymous_limits", "cannot read"),
    "anonymous_limits: off": ("anonymous_limits = false", "anonymous_limits", "list of strings, got true or false"),
    "address_wait: text": ('address_wait = "1"', "address_wait", "expected a number of seconds, got a string"),
    "hashing_wait: true": ("hashing_wait = true", "hashing_wait", "a number of seconds, got true or false"),
    "hashing_wait: range": ("hashing_wait = -1", "hashing_wait", "from 0 to 3600"),
    "wsgi_threads: fraction": ("wsgi_threads = 1.5", "wsgi_threads", "a whole number"),
    "remembered_keys: none": ("remembered_keys = 0", "remembered_keys", "a whole number of at least 1"),
    "failure_limits: notation": ('failure_limits = "none"', "failure_limits", "cannot read"),
    "failure_limits: true": ("failure_limits = true", "failure_limits", "or false, got true"),
    "failure_limits: nothing": ("failure_limits = []", "failure_limits", "is empty"),
    "failure_limits: number": ("failure_limits = 0", "failure_limits", "or false, got a number"),
    "rule: limits": ('[[rules]]\nmatch = "/a"\nlimits = "often"', "rules[0].limits", "cannot read 'often'"),
    "rule: limits of a number": ('[[rules]]\nmatch = "/a"\nlimits = 5', "rules[0].limits", "got a number"),
    "rule: cost of nothing": ('[[rules]]\nmatch = "/a"\ncost = -1', "rules[0].cost", "whole number from 0, got -1"),
    "rule: cost of text": (
        '[[rules]]\nmatch = "/a"\ncost = "2"',
        "rules[0].cost",
        "expected a whole number from 0, got",
    ),
    "rule: half a cost": (
        '[[rules]]\nmatch = "/a"\ncost = 1.5',
        "rules[0].cost",
        "expected a whole number from 0, got",
    ),
    "rule: true as a cost": (
        '[[rules]]\nmatch = "/a"\ncost = true',
        "rules[0].cost",
        "expected a whole number from 0, got",
    ),
    "rule: cost above its limit": (
        '[[rules]]\nmatch = "/a"\nlimits = "5/hour"\ncost = 6',
        "rules[0].cost",
        "6 is above 5 in 3600 seconds",
    ),
    "rule: cost above a plan": (
        '[[rules]]\nmatch = "/a"\ncost = 6\n[plans.free]\nlimits = "5/hour"',
        "plans.free.limits",
        "a rule's cost of 6 is above 5 in 3600 seconds",
    ),
    "limiter: no URL": ('limiter = "memory"', "limiter", "expected a URL like memory://"),
    "limiter: list": ("limiter = []", "limiter", "expected a string, got a list"),
    "limiter: unknown": ('limiter = "ftp://host"', "limiter", "ftp://host: "),
    "limiter: no path": ('limiter = "sqlite://windows.db"', "limiter", "expected 'sqlite:///file.db'"),
    "limiter: no folder": ('limiter = "sqlite:///no/such/folder/w.db"', "limiter", "No such file or directory"),
    "reference: in a plan": ('[plans.a]\nlimits = ["${NOWHERE}"]', "plans.a.limits[0]", "NOWHERE is unset"),
    "reference: in a limiter": ('limiter = "redis://:${NOWHERE}@h"', "limiter", "NOWHERE is unset"),
    "text: number": ("store = 1", "store", "expected a string, got a number"),
    "text: date": ("prefix = 2030-01-31", "prefix", "expected a string, got a date"),
    "app: list": ("app = []", "app", "expected a string, got a list"),
    "flag: number": ("accept_crc = 1", "accept_crc", "expected true or false, got a number"),
    "flag: text": ('accept_crc = "true"', "accept_crc", "expected true or false, got a string"),
    "texts: text": ('public = "/a"', "public", "expected a list of strings, got a string"),
    "texts: number in it": ('public = ["/a", 2]', "public[1]", "expected a string, got a number"),
    "texts: nested": ('accept = [["Api-Key"]]', "accept[0]", "expected a string, got a list"),
    "peppers: table": ("[peppers]\na = 1", "peppers", "expected a list of strings, got a table"),
    "rules: one table": ('[rules]\nmatch = "/a"', "rules", "expected a list of tables, got a table"),
    "rules: texts": ('rules = ["/a"]', "rules[0]", "expected a table, got a string"),
    "rule: scopes": ('[[rules]]\nmatch = "/a"\nscopes = "a"', "rules[0].scopes", "expected a list of strings"),
    "rule: public": ('[[rules]]\nmatch = "/a"\npublic = "yes"', "rules[0].public", "expected one of optional"),
    "rule: no match": ("[[rules]]\npublic = true", "rules[0].match", "is missing"),
    "rule: bad match": ('[[rules]]\nmatch = "v1"', "rules[0].match", "expected '/path' or 'METHOD /path'"),
    "rule: bad scope": ('[[rules]]\nmatch = "/a"\nscopes = ["a b"]', "rules[0].scopes", "'a b' is not a scope"),
    "rule: public with scopes": (
        '[[rules]]\nmatch = "/a"\npublic = true\nscopes = ["a"]',
        "rules[0].scopes",
        "nobody could hold them",
    ),
    "rule: not canonical": ('[[rules]]\nmatch = "/a//b"', "rules[0].match", "not canonical"),
    "rules contradict": (
        '[[rules]]\nmatch = "/a"\ncost = 2\n[[rules]]\nmatch = "/a"\ncost = 3',
        "rules[1]",
        "contradicts rules[0]",
    ),
    "public contradicts a rule": (
        'public = ["/a"]\n[[rules]]\nmatch = "/a"\nscopes = ["a"]',
        "public[0]",
        "contradicts rules[0]",
    ),
    "public: not canonical": ('public = ["/ok", "/a/../b"]', "public[1]", "not canonical"),
    "public: everything": ('public = ["/*"]', "public[0]", "would make every path public"),
    "public: relative": ('public = ["health"]', "public[0]", "expected '/path'"),
    "public: with a method": ('public = ["GET /a"]', "public[0]", "does not start with '/'"),
    "public: with a space": ('public = ["/ok", "/a b"]', "public[1]", "expected '/path'"),
    "accept: unknown": ('accept = ["Cookie"]', "accept", "'Cookie' cannot carry a key: it is sent by browsers"),
    "accept: nothing": ("accept = []", "accept", "names no place"),
    "realm": ("realm = 'a\"b'", "realm", "printable ASCII"),
    "prefix": ('prefix = "a_b"', "prefix", "a letter, then at most 19"),
    "hasher: unknown": ('hasher = "md5"', "hasher", "expected one of argon2id, hmac-sha256"),
    "hasher: true": ("hasher = true", "hasher", "expected one of argon2id, hmac-sha256, got true or false"),
    "https: true": ("https = true", "https", "expected one of off, redirect, require, got true or false"),
    "limit_by: true": ("limit_by = true", "limit_by", "expected one of key, project, organization, got true"),
    "error_format: list": ("error_format = []", "error_format", "expected one of envelope, problem, got a list"),
    "event_format: true": ("event_format = true", "event_format", "expected one of text, json, got true"),
    "on_limiter_error: 1": ("on_limiter_error = 1", "on_limiter_error", "expected one of local, allow, deny, got a"),
    "app: no store": ('app = "service:app"', "store", "is missing: name where the keys are"),
    "limiter: misspelt": ('limiter = "redsi://h"', "limiter", "there is no such limiter; did you mean 'redis"),
    "hasher: no pepper": ('hasher = "hmac-sha256"', "hasher", "needs a pepper"),
    "pepper: short": ('peppers = ["short"]', "peppers", "at least 16 bytes"),
    "accept_crc without peppers": ("accept_crc = true", "accept_crc", "has no meaning without peppers"),
    "store: unknown": ('store = "ftp://host/keys"', "store", "no key store for the scheme 'ftp'"),
    "store: no path": ('store = "sqlite://keys.db"', "store", "expected 'sqlite:///file.db'"),
    "store: in memory": ('store = "sqlite:///:memory:"', "store", "expected 'sqlite:///file.db'"),
    "store: no folder": ('store = "sqlite:///no/such/folder/keys.db"', "store", "No such file or directory"),
    "store: no database": ('store = "sqlite:///keystile.toml"', "store", "file is not a database"),
    "store: NUL": ('store = "sqlite:///a\\u0000.db"', "store", "NUL"),
    "reference: unset": ('prefix = "${NOWHERE}"', "prefix", "environment variable NOWHERE is unset"),
    "reference: empty": ('prefix = "${EMPTY}"', "prefix", "environment variable EMPTY is unset or empty"),
    "reference: in a list": ('peppers = ["${NOWHERE}"]', "peppers[0]", "NOWHERE"),
    "reference: in a rule": ('[[rules]]\nmatch = "/a"\nscopes = ["b", "${NOWHERE}"]', "rules[0].scopes[1]", "NOWHERE"),
    "reference: in the middle": ('store = "sqlite:///${NOWHERE}/keys.db"', "store", "NOWHERE"),
    "reference: no name": ('prefix = "${}"', "prefix", "begins a reference"),
    "reference: open": ('prefix = "${HERE"', "prefix", "begins a reference"),
    "reference: with a default": ('prefix = "${HERE:-x}"', "prefix", "begins a reference"),
    "TOML: syntax": ("prefix = ", None, "is not TOML"),
    "TOML: twice": ('prefix = "a"\nprefix = "b"', None, "is not TOML"),
}


@pytest.mark.parametrize(("text", "key", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_file_key_and_reason(file: Path, text: str, key: str | None, reason: str) -> None:
    error = refusal(file, text, {"EMPTY": "", "HERE": "here"})
    assert error.key == key
    assert reason in error.reason
    assert str(error) == ": ".join(part for part in (str(file), key, error.reason) if part)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: there is no such file: `keystile init` writes one"):
        load(tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize("content", [b'prefix = "\xff"', b"\x00"], ids=["not UTF-8", "NUL"])
def test_a_file_that_is_no_text_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert caught.value.source == str(file)


@pytest.mark.parametrize("path", [".", "a\0b"], ids=["folder", "NUL"])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(path, {})


def test_a_configuration_error_has_the_one_root() -> None:
    assert issubclass(ConfigurationError, KeystileError)


def test_references_are_resolved_everywhere(file: Path) -> None:
    file.write_text(
        """
        app = "${MODULE}:${NAME}"
        store = "memory://"
        prefix = "${NAME}"
        public = ["/${NAME}/*", "/$NAME"]
        realm = "$${NAME}"
        peppers = ["${PEPPER}"]
        limiter = "sqlite:////${NAME}/windows.db"
        default_plan = "${NAME}"
        anonymous_limits = "${MANY}/hour"
        [[rules]]
        match = "POST /${NAME}"
        scopes = ["${NAME}:read", "x"]
        limits = ["${MANY}/hour"]
        [plans.acme]
        limits = "${MANY}/minute"
        """
    )
    settings = load(file, {"MODULE": "service", "NAME": "acme", "PEPPER": PEPPER, "MANY": "7"})
    assert settings.app == "service:acme"
    assert settings.gate["prefix"] == "acme"
    assert settings.gate["public"] == ("/acme/*", "/$NAME")
    assert settings.gate["realm"] == "${NAME}"
    assert settings.gate["peppers"] == (PEPPER,)
    assert settings.gate["rules"] == (Rule("POST /acme", scopes=("acme:read", "x"), limits=("7/hour",)),)
    assert settings.gate["limiter"] == "sqlite:////acme/windows.db"
    assert settings.gate["default_plan"] == "acme"
    assert settings.gate["anonymous_limits"] == "7/hour"
    assert settings.gate["plans"] == {"acme": Plan("7/minute")}


def test_what_a_variable_holds_is_not_resolved_again(file: Path) -> None:
    file.write_text('realm = "${OUTER}"')
    assert load(file, {"OUTER": "${INNER}", "INNER": "x"}).gate["realm"] == "${INNER}"


LEAKS = {
    "store without a scheme": ('store = "${V}"', "hunter2-hunter2"),
    "store with a password": ('store = "${V}"', "ftp+hunter2://me:hunter2@host/db"),
    "sqlite with a password": ('store = "${V}"', "sqlite://me:hunter2@host/db"),
    "part of a path": ('store = "sqlite:///no/such/${V}/keys.db"', "hunter2"),
    "prefix": ('prefix = "${V}"', "hunter2_hunter2"),
    "public": ('public = ["/ok", "${V}"]', "hunter2"),
    "public, escaped": ('public = ["/ok", "${V}"]', "/hunter2\\\n'\"//"),
    "short": ('public = ["${V}"]', "ü2"),
    "scope": ('[[rules]]\nmatch = "/a"\nscopes = ["${V}"]', "hunter2 hunter2"),
    "match": ('[[rules]]\nmatch = "${V}"', "hunter2"),
    "contradicting match": ('[[rules]]\nmatch = "${V}"\ncost = 2\n[[rules]]\nmatch = "/hunter2"\ncost = 3', "/hunter2"),
    "accept": ('accept = ["${V}"]', "Hunter2 x"),
    "realm": ('realm = "${V}"', 'hunter2"'),
    "hasher": ('hasher = "${V}"', "hunter2"),
    "pepper": ('peppers = ["${V}"]', "hunter2"),
    "limiter without a scheme": ('limiter = "${V}"', "hunter2-hunter2"),
    "limiter with a password": ('limiter = "${V}"', "ftp+hunter2://me:hunter2@host/db"),
    "limiter's password": ('limiter = "redis://:${V}@localhost:1/?nothing=1"', "hunter2"),
    "limiter's host": ('limiter = "redis+nothing://${V}:6379"', "hunter2"),
    "plan": ('[plans.free]\nlimits = "${V}"', "hunter2"),
    "plan in a list": ('[plans.free]\nlimits = ["5/minute", "${V}"]', "hunter2/minute"),
    "default plan": ('default_plan = "${V}"', "hunter2"),
    "rule's limits": ('[[rules]]\nmatch = "/a"\nlimits = "${V}"', "hunter2"),
    "limit_by": ('limit_by = "${V}"', "hunter2"),
    "not UTF-8": ('peppers = ["${V}"]', "hunter2-hunter2-\udcff"),
    "NUL": ('prefix = "${V}"', "hunter2\0"),
}


@pytest.mark.parametrize(("text", "value"), LEAKS.values(), ids=LEAKS)
def test_no_error_shows_what_the_environment_holds(file: Path, text: str, value: str) -> None:
    error = refusal(file, text, {"V": value})
    assert len(error.reason) > len("cannot")
    for shown in (str(error).replace(str(file), ""), repr(error).replace(str(file), ""), error.reason):
        assert value not in shown
        assert "hunter2" not in shown.lower()


WRITTEN = [
    "redis://me:hunter2@localhost:1/0?nothing=1",
    "redis+nothing://:hunter2@localhost",
    "redis+cluster://:hunter2@localhost",
    "nothing://me:hunter2@localhost?password=hunter2",
    "sqlite://me:hunter2@localhost/windows.db",
]


@pytest.mark.parametrize("url", WRITTEN)
def test_no_error_shows_a_password_that_stands_in_the_url_of_a_limiter(file: Path, url: str) -> None:
    error = refusal(file, f'limiter = "{url}"')
    assert error.key == "limiter"
    assert "hunter2" not in str(error)


def test_an_error_names_the_variable_that_the_value_came_from(file: Path) -> None:
    error = refusal(file, 'store = "sqlite:///no/such/${FOLDER}/keys.db"', {"FOLDER": "secret-folder"})
    assert "no/such/${FOLDER}/keys.db" in error.reason
    assert "No such file or directory" in error.reason


def test_an_unset_reference_is_named_whatever_else_was_resolved(file: Path) -> None:
    error = refusal(file, 'store = "sqlite:///${A}/${MISSING}"', {"A": "environment variable MISSING is unset"})
    assert "MISSING is unset" in error.reason


def test_the_settings_show_no_value(file: Path) -> None:
    file.write_text('app = "${A}:app"\nstore = "memory://"\nrealm = "${A}"\npeppers = ["${P}"]')
    shown = repr(load(file, {"A": "hunter2", "P": PEPPER}))
    assert "hunter2" not in shown
    assert PEPPER not in shown
    assert str(file) in shown


def test_the_settings_cannot_be_changed(file: Path) -> None:
    file.write_text('prefix = "acme"')
    settings = load(file, {})
    with pytest.raises(AttributeError):
        settings.app = "other:app"  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.gate["prefix"] = "other"  # type: ignore[index]


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text('prefix = "other"')
    monkeypatch.setenv("KEYSTILE_CONFIG", str(other))
    assert load().gate["prefix"] == "other"
    assert load(environ={"KEYSTILE_CONFIG": str(other)}).source == str(other)


def test_without_a_name_the_file_is_in_the_working_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('prefix = "here"')
    monkeypatch.chdir(file.parent)
    assert load().source == "keystile.toml"
    assert load(environ={"KEYSTILE_CONFIG": ""}).gate["prefix"] == "here"


def test_the_pepper_comes_from_the_environment_if_the_file_names_none(file: Path) -> None:
    file.write_text('hasher = "hmac-sha256"')
    settings = load(file, {"KEYSTILE_PEPPER": PEPPER})
    assert settings.gate["peppers"] == (PEPPER,)
    open_gate(settings).close()


def test_the_peppers_of_the_file_come_before_the_environment(file: Path) -> None:
    file.write_text('peppers = ["another pepper of 16 bytes"]')
    assert load(file, {"KEYSTILE_PEPPER": PEPPER}).gate["peppers"] == ("another pepper of 16 bytes",)


@pytest.mark.parametrize("pepper", ["", "short"])
def test_a_pepper_that_is_none_is_not_passed_over(file: Path, pepper: str) -> None:
    error = refusal(file, "", {"KEYSTILE_PEPPER": pepper})
    assert error.key in ("peppers", "peppers[0]")
    assert "KEYSTILE_PEPPER" in error.reason


def test_a_relative_store_lies_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc, elsewhere = tmp_path / "etc", tmp_path / "elsewhere"
    etc.mkdir()
    elsewhere.mkdir()
    (etc / "keystile.toml").write_text('store = "sqlite:///keys.db"')
    for folder, path in ((elsewhere, etc / "keystile.toml"), (tmp_path, Path("etc/keystile.toml"))):
        monkeypatch.chdir(folder)
        settings = load(path, {})
        assert settings.gate["store"] == f"sqlite:///{etc / 'keys.db'}"
        open_gate(settings).close()
    assert (etc / "keys.db").is_file()
    assert not list(elsewhere.iterdir())


def test_a_relative_limiter_lies_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "keystile.toml").write_text('limiter = "sqlite:///windows.db"')
    monkeypatch.chdir(tmp_path)
    settings = load("etc/keystile.toml", {})
    assert settings.gate["limiter"] == f"sqlite:///{etc / 'windows.db'}"
    open_gate(settings).close()
    assert (etc / "windows.db").is_file()


@pytest.mark.parametrize("url", ["memory://", "redis://:secret@localhost:6379/0?x=y", "memcached://localhost:11211"])
def test_the_url_of_another_limiter_stays_as_it_is(file: Path, url: str) -> None:
    file.write_text(f'limiter = "{url}"')
    assert load(file, {}).gate["limiter"] == url


def test_an_absolute_store_stays_where_it_is(file: Path, tmp_path: Path) -> None:
    file.write_text(f'store = "sqlite:///{tmp_path / "absolute.db"}"')
    assert load(file, {}).gate["store"] == f"sqlite:///{tmp_path / 'absolute.db'}"


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ('peppers = ["a pepper of 16 bytes"]', 0o644, True),
        ('cursor_secrets = ["a secret of 16 bytes"]', 0o640, True),
        ('peppers = ["${PEPPER}"]', 0o644, False),
        ('prefix = "acme"', 0o644, False),
        ('peppers = ["a pepper of 16 bytes"]', 0o600, False),
    ],
)
def test_secrets_in_a_file_that_others_may_read_are_told_of(
    file: Path, text: str, mode: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(text)
    file.chmod(mode)
    load(file, {"PEPPER": "p" * 16})
    assert ["chmod 600 it" in record.getMessage() for record in caplog.records] == [True] * told
    assert "pepper of" not in caplog.text


def test_a_file_that_is_nested_too_deep_is_a_wrong_file(tmp_path: Path) -> None:
    path = tmp_path / "keystile.toml"
    path.write_text("store = " + "[" * 100_000)
    with pytest.raises(ConfigurationError, match="nested too deep"):
        load(path)
