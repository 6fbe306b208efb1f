"""No shared cache keeps an answer to a request with a key, whatever the app's own caching headers say."""

from __future__ import annotations

import pytest

from keystile.answers.responses import HeaderWriter
from tests.doors import Door

# RFC 9213 ranks a targeted field above Cache-Control, and so do the vendors' own.
TARGETED = [
    "CDN-Cache-Control",
    "Cloudflare-CDN-Cache-Control",
    "Vercel-CDN-Cache-Control",
    "Netlify-CDN-Cache-Control",
    "Akamai-Cache-Control",
    "X-LiteSpeed-Cache-Control",
    "Some-New-Vendor-Cache-Control",
    "Surrogate-Control",
    "Edge-Control",
    "X-Accel-Expires",
]
# Cache-Control: private stands above these, or they say nothing of keeping.
KEPT = [("Expires", "Thu, 01 Jan 2099 00:00:00 GMT"), ("Pragma", "no-cache"), ("Surrogate-Key", "a b"), ("Age", "1")]


@pytest.mark.parametrize("name", TARGETED)
def test_what_speaks_to_shared_caches_alone_leaves_no_protected_path(door: Door, name: str) -> None:
    secret = door.create().secret
    door.open(public=["/open"])
    door.host.headers += [(name, "max-age=600"), *KEPT]
    for _ in range(2):  # what is known of a name is remembered
        answer = door.get(key=secret)
        assert answer.header(name.lower()) is None
        assert answer.header("cache-control") == "private"
        assert all(answer.header(kept.lower()) == value for kept, value in KEPT)
        assert door.get("/open").header(name.lower()) == "max-age=600"


def test_no_error_of_the_apps_keeps_such_a_field(door: Door) -> None:
    secret = door.create().secret
    door.open(envelope=True)
    door.host.status, door.host.headers = 404, [("content-type", "text/plain"), ("cdn-cache-control", "max-age=600")]
    answer = door.get(key=secret)
    assert (answer.status, answer.header("cdn-cache-control")) == (404, None)


def test_a_name_in_any_case_is_one_of_these() -> None:
    writer: HeaderWriter[str] = HeaderWriter(str, ("x-api-key",))
    for name in ("cdn-cache-control", "CDN-CACHE-CONTROL", "Cdn-Cache-Control", "x-ACCEL-expires"):
        written = writer.write([(name, "public"), ("x-other", "1")], "req_1", protected=True)
        assert [field for field, _ in written] == ["x-other", "x-request-id", "cache-control", "vary"]


def test_what_the_writer_remembers_of_names_is_bounded() -> None:
    writer: HeaderWriter[str] = HeaderWriter(str, ("x-api-key",))
    for number in range(5000):
        writer.write([(f"x-{number}", ""), ("x" * 1000 + str(number), "")], "req_1", protected=True)
    assert len(writer._others) <= 1024
    assert max(map(len, writer._others)) <= 64
    written = writer.write([("cdn-cache-control", "public"), ("x-5001", "1")], "req_1", protected=True)
    assert [field for field, _ in written] == ["x-5001", "x-request-id", "cache-control", "vary"]


@pytest.mark.parametrize("value", ["a," * 5000, '"' * 70_000, "," * 70_000], ids=["names", "quotes", "commas"])
def test_lines_that_are_too_long_to_be_merged_give_way_to_the_strictest(value: str) -> None:
    writer: HeaderWriter[str] = HeaderWriter(str, ("x-api-key",))
    fields = [("vary", value), ("cache-control", value)]
    written = dict(writer.write(fields, "req_1", protected=True))
    assert (written["vary"], written["cache-control"]) == ("*", "private, no-store")
