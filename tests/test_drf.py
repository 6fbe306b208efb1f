"""Django REST framework knows the caller that the gate let through, wherever the gate stands."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import path

from keystile import Argon2Hasher, Gate, Rule
from keystile.integrations.django import require
from tests.django_site import KINDS, Site

from rest_framework.authentication import BaseAuthentication  # isort: skip - after the site has been set up
from rest_framework.decorators import api_view, authentication_classes, permission_classes  # isort: skip
from rest_framework.permissions import AllowAny, IsAdminUser, IsAuthenticated  # isort: skip
from rest_framework.response import Response  # isort: skip
from rest_framework.views import APIView  # isort: skip

from keystile.integrations.drf import KeystileAuthentication, KeystileUser  # isort: skip

HASHER = Argon2Hasher(memory_kib=8, time_cost=1)


class Whoever(BaseAuthentication):  # type: ignore[misc]
    """Another class, which is asked next."""

    def authenticate(self, request: Any) -> Any:
        return ("somebody", "else") if "x-whoever" in request.headers else None


class Me(APIView):  # type: ignore[misc]
    """A view that is a class, for whoever is authenticated."""

    authentication_classes = [KeystileAuthentication, Whoever]  # noqa: RUF012 - as DRF has it
    permission_classes = [IsAuthenticated]  # noqa: RUF012

    def get(self, request: Any) -> Any:
        user = request.user
        return Response({"pk": user.pk, "auth": request.auth.id, "text": str(user), "name": user.get_username()})


@api_view(["GET"])
@authentication_classes([KeystileAuthentication, Whoever])
@permission_classes([AllowAny])
def anybody(request: Any) -> Any:
    return Response({"user": str(request.user), "auth": str(request.auth)})


@api_view(["GET"])
@authentication_classes([KeystileAuthentication])
@permission_classes([IsAdminUser])
def admins(request: Any) -> Any:
    raise AssertionError


@api_view(["POST"])
@authentication_classes([KeystileAuthentication])
@permission_classes([IsAuthenticated])
@require("b")
def posts(request: Any) -> Any:
    return Response(request.data)


URLS = [path("me", Me.as_view()), path("anybody", anybody), path("admins", admins), path("posts", posts)]


def make_site(kind: str, outermost: bool, **told: Any) -> Site:
    rules = [Rule("/anybody", public="optional"), Rule("/me", public="optional")]
    gate = Gate(prefix="acme", hasher=HASHER, realm="mine", rules=rules, **told.pop("gate", {}))
    return Site(kind, gate, URLS, outermost=outermost, **told)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["middleware", "door"])
def outermost(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_the_caller_is_the_user(kind: str, outermost: bool) -> None:
    site = make_site(kind, outermost)
    owned = site.gate.keys.create("k", owner_id="user_1")
    told = site.get("/me", owned.secret).json
    assert told == {"pk": "user_1", "auth": owned.key.id, "text": "user_1", "name": "user_1"}
    nobodys = site.gate.keys.create("k")
    assert site.get("/me", nobodys.secret).json["pk"] == f"key:{nobodys.key.id}"


def test_who_is_missing_is_challenged_and_not_forbidden(kind: str, outermost: bool) -> None:
    answer = make_site(kind, outermost).get("/me")
    assert (answer.status, answer.header("www-authenticate")) == (401, 'Bearer realm="mine"')


def test_the_challenge_names_where_the_path_reads_keys(kind: str, outermost: bool) -> None:
    rules = [Rule("/me", public="optional", accept=["Authorization: Token"])]
    gate = Gate(prefix="acme", hasher=HASHER, realm="mine", rules=rules)
    answer = Site(kind, gate, URLS, outermost=outermost).get("/me")
    assert (answer.status, answer.header("www-authenticate")) == (401, 'Token realm="mine"')


def test_without_a_key_the_next_class_is_asked(kind: str, outermost: bool) -> None:
    site = make_site(kind, outermost)
    assert site.get("/anybody").json == {"user": "AnonymousUser", "auth": "None"}
    assert site.get("/anybody", headers=[("x-whoever", "1")]).json == {"user": "somebody", "auth": "else"}
    key = site.gate.keys.create("k", owner_id="user_1").secret
    assert site.get("/anybody", key, headers=[("x-whoever", "1")]).json["user"] == "user_1"


def test_a_bad_key_is_the_gates_to_refuse(kind: str, outermost: bool) -> None:
    assert make_site(kind, outermost).get("/anybody", "nonsense").code == "invalid_api_key"


def test_outside_the_middleware_nobody_is_there(kind: str) -> None:
    answer = make_site(kind, False, only=["/posts"]).get("/me")
    assert (answer.status, answer.header("www-authenticate")) == (401, 'Bearer realm="mine"')
    assert answer.header("x-request-id") is None


def test_a_key_has_no_permissions_of_djangos(kind: str, outermost: bool) -> None:
    site = make_site(kind, outermost)
    assert site.get("/admins", site.gate.keys.create("k").secret).status == 403
    user = KeystileUser(site.gate.keys.create("k").key.principal)
    assert (user.is_staff, user.is_superuser, user.is_anonymous) == (False, False, False)
    assert (user.has_perm("a.b"), user.has_perms(["a.b"]), user.has_module_perms("a")) == (False, False, False)


def test_users_are_equal_by_their_owner() -> None:
    gate = Gate(prefix="acme", hasher=HASHER)
    one, two, other = (KeystileUser(gate.keys.create("k", owner_id=owner).key.principal) for owner in "aab")
    assert one == two != other
    assert len({one, two, other}) == 2
    assert one != "a"


def test_a_body_is_read_after_the_gate_has_and_no_token_for_forms_is_asked(kind: str, outermost: bool) -> None:
    site = make_site(kind, outermost, gate={"require_json": True, "envelope": True})
    sent = {"method": "POST", "body": b'{"a": 1}', "headers": [("content-type", "application/json")]}
    key = site.gate.keys.create("k", scopes=["b"]).secret
    assert site.get("/posts", key, **sent).json["data"] == {"a": 1}
    lacking = site.get("/posts", site.gate.keys.create("k").secret, **sent)
    assert (lacking.status, lacking.code) == (403, "insufficient_scope")
