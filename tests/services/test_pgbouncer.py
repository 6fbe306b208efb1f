"""The SQL store behind a real PgBouncer in transaction mode, which hands each transaction to another connection."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal

from keystile.stores import Cap, KeyFilter
from keystile.stores.sql import SQLStore
from tests.ports import free_port
from tests.postgres_server import postgres_url, somebody_for  # noqa: F401
from tests.selection import program
from tests.servers import wait_for_port
from tests.sql_stores import emptied
from tests.stored import T0, a_key, told

pytestmark = pytest.mark.services("pgbouncer")

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={behind}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


@pytest.fixture
def pooled(postgres_url: str, tmp_path: Path) -> Iterator[str]:  # noqa: F811
    url = emptied(postgres_url)
    parts, port = psycopg.conninfo.conninfo_to_dict(url), free_port()
    who = somebody_for(tmp_path)
    file = tmp_path / "pgbouncer.ini"
    # Under `any` everybody is this user.
    text = CONFIGURATION.format(behind=parts["port"], port=port).replace("* =", f"* = user={parts['user']}")
    file.write_text(text)
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([str(program("pgbouncer")), str(file)], stdout=log, stderr=log, **who)
    try:
        wait_for_port(port, process, tmp_path / "log")
        yield f"postgresql://{parts['user']}@127.0.0.1:{port}/{parts['dbname']}?prepare=off"
    finally:
        process.kill()
        process.wait()


def test_everything_works_where_connections_are_handed_around(pooled: str) -> None:
    with closing(SQLStore(pooled)) as store, start_blocking_portal("asyncio") as portal:
        twin = store.for_asyncio()
        assert twin is not None
        faults: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for each in range(10):
                    key = a_key(f"{number}-{each}", owner_id="me")
                    store.add(key, [told("key.create", key.id)], Cap(5, (("owner_id", "me"),), replaces=True))
                    assert store.find(key.id) is not None
                    for _ in range(10):
                        assert portal.call(twin.find, key.id) is not None
            except BaseException as error:  # noqa: BLE001 - it is what is looked for
                faults.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert len(store.list(KeyFilter(state=("live", T0)), None, 100)) == 5
        portal.call(twin.close)
