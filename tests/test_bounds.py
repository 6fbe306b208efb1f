"""Lists of addresses: which contradict each other, what they cost, and what a person is told at start."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate, Rule
from keystile.rules.network.addresses import Allowlist
from keystile.rules.network.bounds import admission, read_lists

FOUR = st.builds(lambda number, length: f"{ip_network((number, length), strict=False)}",
                 st.integers(0, 2**32 - 1).map(lambda number: number & 0x0F0F0000), st.integers(0, 32))  # fmt: skip
SIX = st.builds(lambda number, length: f"{ip_network((number << 96, length), strict=False)}",
                st.integers(2**29, 2**29 + 15), st.integers(16, 128))  # fmt: skip
ENTRIES = st.lists(FOUR | SIX, min_size=1, max_size=4)
CLIENTS = st.builds(lambda number: str(ip_address(number & 0x0F0F0003)), st.integers(0, 2**32 - 1)) | SIX.map(
    lambda entry: entry.partition("/")[0]
)


def holds(entries: list[str], client: str) -> bool:
    address = ip_address(client)
    return any(address in network for network in map(ip_network, entries) if network.version == address.version)


def within(one: str, other: str) -> bool:
    here, there = ip_network(one), ip_network(other)
    return here.version == there.version and here.subnet_of(there)  # type: ignore[arg-type]


@given(st.lists(ENTRIES, max_size=3), st.lists(ENTRIES, max_size=2), CLIENTS)
def test_a_client_is_admitted_that_every_allow_list_has_and_no_deny_list(
    allowed: list[list[str]], denied: list[list[str]], client: str
) -> None:
    lists = [read_lists("", entries, None) for entries in allowed] + [read_lists("", None, each) for each in denied]
    admits = admission([each for each in lists if each is not None])
    expected = all(holds(each, client) for each in allowed) and not any(holds(each, client) for each in denied)
    if admits is None:
        assert lists == []
    else:
        # The second time from what is remembered.
        assert [admits(client), admits(client), admits(None)] == [expected, expected, False]


@given(ENTRIES, ENTRIES)
def test_an_entry_that_lies_within_another_list_is_found(one: list[str], other: list[str]) -> None:
    found = Allowlist(one).covered(Allowlist(other))
    inside = [entry for entry in one if any(within(entry, wide) for wide in other)]
    assert (found is None) is (inside == [])
    assert found is None or any(within(found, wide) for wide in other)


@pytest.mark.parametrize(
    ("settings", "key", "reason"),
    [
        ({"allow": []}, "allow", "is empty"),
        ({"deny": []}, "deny", "is empty"),
        ({"allow": ["10.0.0.1/8"]}, "allow", "host bits set: did you mean '10.0.0.0/8'"),
        ({"deny": ["localhost"]}, "deny", "'localhost' is not an address or CIDR network"),
        ({"allow": "10.0.0.0/8"}, "allow", "expected a list of strings, got str"),
        ({"deny": [7]}, "deny", "expected a list of strings, got int in it"),
        ({"allow": ["10.0.0.1"], "deny": ["10.0.0.1"]}, "allow", "10.0.0.1/32 would never be admitted: deny holds it"),
        ({"allow": ["10.0.0.1"], "deny": ["::ffff:10.0.0.1"]}, "allow", "10.0.0.1/32 would never be admitted"),
        ({"allow": ["::1", "10.0.0.1"], "deny": ["10.0.0.0/8"]}, "allow", "10.0.0.1/32 would never be admitted"),
        ({"deny": ["::/0"], "rules": [Rule("/a", allow=["::1"])]}, "rules[0].allow", "::1/128 would never"),
        (
            {"rules": [Rule("/*", deny=["10.0.0.1"]), Rule("/a", allow=["10.0.0.1"])]},
            "rules[1].allow",
            "10.0.0.1/32 would never be admitted: rules[0].deny holds it",
        ),
        ({"rules": [Rule("/a", allow=["::1"], deny=["::1"])]}, "rules[0].allow", "rules[0].deny holds it"),
        (
            {"allow": ["10.0.0.0/8"], "rules": [Rule("/a", allow=["192.0.2.1"])]},
            "allow",
            "nothing in common with rules[0].allow",
        ),
        (
            {"rules": [Rule("/a/*", allow=["10.0.0.0/8"]), Rule("/{x}/b", allow=["::/0"])]},
            None,
            "nothing in common with rules",
        ),
        ({"rules": [Rule("/a", allow=["nonsense"])]}, "rules[0].allow", "is not an address"),
    ],
)
def test_lists_that_cannot_be_read_or_contradict_each_other_are_refused_at_start(
    settings: dict[str, Any], key: str | None, reason: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(**settings)
    assert key is None or caught.value.key == key
    assert reason in caught.value.reason


@pytest.mark.parametrize("name", ["allow", "deny"])
def test_an_empty_list_of_a_rule_is_refused(name: str) -> None:
    lists: dict[str, Any] = {name: []}
    with pytest.raises(ConfigurationError, match=f"^{name}: is empty"):
        Rule("/a", **lists)


@pytest.mark.parametrize(
    "settings",
    [
        {"allow": ["10.0.0.0/8"], "deny": ["10.0.0.0/9"]},
        {"allow": ["10.0.0.0/8"], "rules": [Rule("/a", allow=["10.0.0.1"])]},
        {"rules": [Rule("/a", allow=["10.0.0.0/8"]), Rule("/b", allow=["192.0.2.1"])]},
        {"rules": [Rule("GET /a", allow=["10.0.0.0/8"]), Rule("POST /a", allow=["192.0.2.1"])]},
        {"rules": [Rule("/a", allow=["10.0.0.1"]), Rule("/b", deny=["10.0.0.1"])]},
        {"deny": ["10.0.0.1"], "rules": [Rule("/a", deny=["10.0.0.1"])]},
    ],
)
def test_lists_that_leave_somebody_are_taken(settings: dict[str, Any]) -> None:
    assert Gate(**settings).rules.every.admits is not None


def test_a_policy_with_many_long_lists_is_read_once() -> None:
    def entries(start: int) -> list[str]:
        return [f"10.{start}.{number // 250}.{number % 250}" for number in range(1000)]

    rules = [Rule(f"/v1/{number}/*", allow=entries(number)) for number in range(20)]
    rules += [Rule(f"POST /v1/{number}/x", deny=entries(number)[:500]) for number in range(21, 41)]
    table = Gate(allow=["10.0.0.0/8"], deny=["10.200.0.0/16"], rules=rules).rules
    seven = table.demand("GET", "/v1/7/x").admits
    assert seven is table.demand("PUT", "/v1/7/y").admits
    assert seven is not None
    assert [seven(client) for client in ("10.7.0.9", "10.8.0.9", "11.0.0.1")] == [True, False, False]
