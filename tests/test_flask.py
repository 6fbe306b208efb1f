"""The Flask extension: the gate before an app, the caller in its views, and its keys on its command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, jsonify
from flask.testing import FlaskClient

from keystile import Argon2Hasher, ConfigurationError, Gate, Principal, Rule, current
from keystile.integrations.flask import Keystile, current_principal, require, require_scopes
from keystile.testing import override_principal
from tests.test_doors import TIMES

HASHER = Argon2Hasher(memory_kib=8, time_cost=1)


def make_gate(**settings: Any) -> Gate:
    return Gate(**{"prefix": "acme", "hasher": HASHER} | settings)


def make_app(gate: Gate | None = None, **config: Any) -> Flask:
    app = Flask("shop")
    app.config.update(config)
    Keystile(app, gate=gate)

    @app.get("/me")
    def me() -> Any:
        assert current().principal == current_principal
        return jsonify(name=current_principal.name, scopes=list(current_principal.scopes))

    @app.get("/awaited")
    @require("b")
    async def awaited() -> Any:
        return jsonify(name=current_principal.name)

    @app.route("/plain", methods=["GET", "POST"])
    @require("a", "b")
    def plain() -> Any:
        return "got"

    @app.get("/anybody")
    def anybody() -> Any:
        return jsonify(known=bool(current_principal))

    guarded = Blueprint("guarded", __name__, url_prefix="/guarded")
    guarded.before_request(require_scopes("b"))

    # What a host writes for its own errors does not get to see the gate's.
    @guarded.errorhandler(Exception)
    def failed(error: Exception) -> Any:
        return "mine", 418

    @guarded.get("/view")
    def view() -> Any:
        return "got"

    app.register_blueprint(guarded)
    return app


def of(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_view_knows_who_is_calling() -> None:
    gate = make_gate()
    client = make_app(gate).test_client()
    key = gate.keys.create("Anna", scopes=["a"]).secret
    assert client.get("/me", headers=of(key)).json == {"name": "Anna", "scopes": ["a"]}
    for path in ("/me", "/nope", "/guarded/view"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_on_a_path_where_nobody_need_be_the_principal_is_false() -> None:
    gate = make_gate(rules=[Rule("/anybody", public="optional")])
    client = make_app(gate).test_client()
    assert client.get("/anybody").json == {"known": False}
    assert client.get("/anybody", headers=of(gate.keys.create("k").secret)).json == {"known": True}


def test_an_app_that_a_gate_does_not_guard_has_no_principal() -> None:
    app = make_app(make_gate())
    app.wsgi_app = app.wsgi_app.app  # type: ignore[attr-defined, method-assign]
    app.testing = True
    with pytest.raises(LookupError, match="no gate"):
        app.test_client().get("/anybody")
    with pytest.raises(LookupError, match="no gate"):
        app.test_client().get("/plain")


def test_outside_of_a_request_there_is_no_principal() -> None:
    with pytest.raises(RuntimeError, match="outside of request context"):
        bool(current_principal.name)


def test_a_thread_of_the_hosts_gets_what_it_is_given() -> None:
    gate = make_gate()
    app = Flask("threads")
    Keystile(app, gate=gate)
    names: list[str] = []

    @app.get("/")
    def starts() -> str:
        caller: Principal = current().caller
        thread = threading.Thread(target=lambda: names.append(caller.name))
        thread.start()
        thread.join()
        return ""

    app.test_client().get("/", headers=of(gate.keys.create("Anna").secret))
    assert names == ["Anna"]


# `require`


@pytest.mark.parametrize("path", ["/awaited", "/plain", "/guarded/view"])
@pytest.mark.parametrize(
    "shape", [{}, {"envelope": True}, {"error_format": "problem"}, {"realm": "mine", "accept": ["X-Key"]}], ids=str
)
def test_a_scope_that_is_required_is_missed_in_the_words_of_the_gate(path: str, shape: dict[str, Any]) -> None:
    scopes = ["a", "b"] if path == "/plain" else ["b"]
    answers = []
    for gate in (make_gate(**shape), make_gate(**shape, rules=[Rule("/*", scopes=scopes)])):
        secret = gate.keys.create("k", scopes=["a"]).secret
        headers = {"X-Key": secret} if "accept" in shape else of(secret)
        answer = make_app(gate).test_client().get(path, headers=headers)
        fields = sorted((name.lower(), value) for name, value in answer.headers if name.lower() not in VARYING)
        answers.append((answer.status_code, fields, TIMES.sub(b"", answer.data)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 403


# Of these, a test of `refusing` says more: the app's answers vary, and are private, in other words.
VARYING = {"x-request-id", "vary", "cache-control"}


@pytest.mark.parametrize("path", ["/awaited", "/plain", "/guarded/view"])
def test_who_has_the_scopes_gets_in(path: str) -> None:
    gate = make_gate()
    key = gate.keys.create("Anna", scopes=["a", "b"]).secret
    answer = make_app(gate).test_client().get(path, headers=of(key))
    assert answer.data == (b'{"name":"Anna"}\n' if path == "/awaited" else b"got")


def test_a_problem_that_is_asked_for() -> None:
    gate = make_gate()
    key = gate.keys.create("k").secret
    sent = of(key) | {"Accept": "application/problem+json"}
    answer = make_app(gate).test_client().get("/plain", headers=sent)
    assert (answer.status_code, answer.content_type) == (403, "application/problem+json")
    assert make_app(gate).test_client().head("/plain", headers=sent).data == b""


def test_require_keeps_the_name_of_a_view() -> None:
    assert make_app(make_gate()).view_functions["plain"].__name__ == "plain"


@pytest.mark.parametrize("scopes", [(), ("a b",), (1,)])
def test_no_scope_is_an_error_at_start(scopes: Any) -> None:
    with pytest.raises(ConfigurationError):
        require(*scopes)


# Apps and their gates


def test_one_extension_serves_the_apps_of_a_factory(tmp_path: Path) -> None:
    keystile = Keystile()

    def create_app(name: str) -> Flask:
        file = tmp_path / f"{name}.toml"
        file.write_text(f'store = "sqlite:///{name}.db"\nprefix = "{name}"\nhasher = "argon2id"\n')
        app = Flask(name)
        app.config["KEYSTILE_CONFIG"] = str(file)
        keystile.init_app(app)
        app.add_url_rule("/", view_func=lambda: current_principal.name)
        return app

    one, two = create_app("one"), create_app("two")
    gates = [app.extensions["keystile"].gate for app in (one, two)]
    assert gates[0] is not gates[1]
    for app, gate in zip((one, two), gates, strict=True):
        with app.app_context():
            assert keystile.gate is gate
    key = gates[0].keys.create("Anna").secret
    assert key.startswith("one_")
    assert one.test_client().get("/", headers=of(key)).text == "Anna"
    assert two.test_client().get("/", headers=of(key)).status_code == 401
    assert [attribute for attribute in vars(keystile).values() if attribute is not None] == []
    for gate in gates:
        gate.close()


def test_the_usual_file_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "k.toml"
    file.write_text('store = "memory://"\nprefix = "usual"\n')
    monkeypatch.setenv("KEYSTILE_CONFIG", str(file))
    app = make_app()
    assert app.extensions["keystile"].gate.keys.create("k").secret.startswith("usual_")


def test_a_second_gate_is_refused() -> None:
    app = make_app(make_gate())
    with pytest.raises(ConfigurationError, match="'shop' has a gate already"):
        Keystile(app, gate=make_gate())


def test_two_answers_to_where_the_gate_is_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"gate.*KEYSTILE_CONFIG"):
        make_app(make_gate(), KEYSTILE_CONFIG="keystile.toml")


@pytest.mark.parametrize("gate", [1, "gate"])
def test_what_is_no_gate_is_refused(gate: Any) -> None:
    app = Flask("shop")
    with pytest.raises(ConfigurationError, match="Gate"):
        Keystile(app, gate=gate)
    assert app.extensions == {}


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        make_app(KEYSTILE_CONFIG="/nowhere/keystile.toml")


def test_errors_of_the_gate_are_not_the_apps_and_errors_of_the_app_get_the_envelope() -> None:
    gate = make_gate(envelope=True)
    app = make_app(gate)
    app.register_error_handler(401, lambda error: ("mine", 401))
    app.register_error_handler(404, lambda error: ({"message": "not mine"}, 404))
    client = app.test_client()
    assert client.get("/me").json["error"]["code"] == "missing_api_key"
    missed = client.get("/nope", headers=of(gate.keys.create("k").secret)).json
    assert (missed["error"]["code"], missed["error"]["message"]) == ("not_found", "not mine")


def test_a_stand_in_for_tests_goes_through() -> None:
    gate = make_gate()
    client: FlaskClient = make_app(gate).test_client()
    with override_principal(gate, name="Anna", scopes=["a", "b"]):
        assert client.get("/me").json["name"] == "Anna"
        assert client.get("/plain").data == b"got"
    assert client.get("/me").status_code == 401


# The command line


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Any]:
    gate = make_gate(store=f"sqlite:///{tmp_path}/keys.db")
    app = make_app(gate)
    return lambda *words: app.test_cli_runner().invoke(args=["keystile", *words])


def test_the_command_manages_the_keys_of_the_app(tmp_path: Path) -> None:
    gate = make_gate(store=f"sqlite:///{tmp_path}/keys.db")
    app = make_app(gate)
    made = app.test_cli_runner().invoke(args=["keystile", "keys", "create", "Anna", "--json"])
    assert made.exit_code == 0, made.output
    secret = json.loads(made.stdout)["secret"]
    assert app.test_client().get("/me", headers=of(secret)).json["name"] == "Anna"
    assert "Anna" in app.test_cli_runner().invoke(args=["keystile", "keys", "list"]).stdout
    gate.close()


def test_the_command_is_the_same_but_for_what_needs_no_gate(command: Callable[..., Any]) -> None:
    from keystile.cli.commands import main

    told = command("--help").stdout
    for name in main.commands:
        assert (f"\n  {name} " in told) is (name not in {"init", "schema", "demo"})
    checked = command("check")
    assert checked.exit_code == 0, checked.output
    assert "the app 'shop'" in checked.stdout


def test_an_error_of_the_command_is_one_line(command: Callable[..., Any]) -> None:
    failed = command("keys", "show", "nobody")
    assert failed.exit_code == 1
    assert failed.stderr.count("\n") == 1
    assert "Traceback" not in failed.output


def test_keys_in_memory_cannot_be_made_by_a_command() -> None:
    runner = make_app(make_gate()).test_cli_runner()
    failed = runner.invoke(args=["keystile", "keys", "create", "Anna"])
    assert failed.exit_code == 1
    assert "store" in failed.stderr
