"""The gate with greenlets: under gunicorn's gevent worker, and whenever gevent patches threading."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.selection import some
from tests.servers import GEVENT, serving

APP = """
    import os
    from keystile import Argon2Hasher, Gate, Plan, wsgi

    store = os.environ["STORE"]
    gate = Gate(store, limiter=store, prefix="acme", failure_limits=None,
                hasher=Argon2Hasher(memory_kib=8, time_cost=1),
                default_plan="free", plans={"free": Plan("10000/minute")})
    if not os.path.exists("secrets.txt"):
        with open("secrets.txt", "w") as secrets:
            secrets.write("\\n".join(gate.keys.create("key").secret for _ in range(40)))

    def app(environ, start_response):
        import time
        time.sleep(0.02)
        start_response("200 OK", [("Content-Type", "text/plain")])
        links = []
        for each in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{each}"))
            except OSError:
                pass
        return [str(sum(link.endswith("keys.db-wal") for link in links)).encode()]

    wsgi_app = wsgi.GateMiddleware(app, gate)
    """


@pytest.mark.parametrize("store", some(["memory", "sqlite"], "sqlite"))
@pytest.mark.parametrize("kind", GEVENT)
def test_gunicorn_with_gevent_serves_first_and_later_uses_at_once(kind: str, store: str, tmp_path: Path) -> None:
    (tmp_path / "hosted.py").write_text(textwrap.dedent(APP))
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/keys.db"
    with serving(kind, "hosted", tmp_path, STORE=url) as server:
        assert server.get("/").code == "missing_api_key"
        secrets = (tmp_path / "secrets.txt").read_text().split()
        for _ in range(2):
            with ThreadPoolExecutor(40) as clients:
                answers = list(clients.map(lambda secret: server.get("/", {"x-api-key": secret}), secrets))
            assert {answer.status for answer in answers} == {200}
            # The store's and the limiter's; greenlets take turns, and only one is inside SQLite at a time.
            assert max(int(answer.body) for answer in answers) <= 4
        assert server.get("/", {"x-api-key": secrets[0][:-1]}).code == "invalid_api_key"


LATE = """
    import sys
    import keystile.wsgi
    from keystile import Argon2Hasher, Gate, _sync, wsgi

    gate = Gate(sys.argv[1], prefix="acme", failure_limits=None, hasher=Argon2Hasher(memory_kib=8, time_cost=1))
    USED
    from gevent import monkey
    monkey.patch_all()
    import gevent

    issued = [gate.keys.create("key") for _ in range(40)]
    door = wsgi.GateMiddleware(lambda environ, start: start("200 OK", []) or [b""], gate)
    statuses = []

    def request(secret):
        environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "HTTP_X_API_KEY": secret,
                   "wsgi.url_scheme": "http", "SERVER_NAME": "x", "SERVER_PORT": "80"}
        door(environ, lambda status, headers, info=None: statuses.append(status))

    for _ in range(2):
        gevent.joinall([gevent.spawn(request, each.secret) for each in issued], timeout=20, raise_error=True)
    assert _sync.settled(), "background work hangs"
    gate.flush()
    print(len(statuses), set(statuses), gate.keys.get(issued[0].key.id).last_used_at is not None)
    """


@pytest.mark.parametrize("used", ["", 'gate.keys.create("early"); _sync.later(int); assert _sync.settled()'])
@pytest.mark.parametrize("store", some(["memory", "sqlite"], "sqlite"))
def test_what_was_imported_before_gevent_replaced_the_ways_of_waiting_waits_right(
    store: str, used: str, tmp_path: Path
) -> None:
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/keys.db"
    script = textwrap.dedent(LATE).replace("USED", used)
    command = [sys.executable, "-W", "ignore", "-c", script, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "80 {'200 OK'} True"


POOL = """
    from keystile import _sync
    pool = _sync.Pool(2, 40)
    from gevent import monkey
    monkey.patch_all()
    import gevent, time
    naps = [gevent.spawn(lambda: _sync.run_now(_sync.inline.run(pool, time.sleep, 0.005))) for _ in range(20)]
    gevent.joinall(naps, timeout=20, raise_error=True)
    print(all(each.successful() for each in naps))
    """


def test_greenlets_that_wait_for_a_place_do_not_hold_up_who_has_one() -> None:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(POOL)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
