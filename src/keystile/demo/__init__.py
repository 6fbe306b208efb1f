"""`keystile demo`: the main features shown on real servers, with nothing else to install or run.

Knows the keys' format and the exceptions, nothing else: it drives the example apps and the command line from outside,
as a user would. The story (`story`) can be changed here alone; the apps are in `examples/`, which the wheel includes.

Two example apps, FastAPI on uvicorn and Flask on gunicorn, share one SQLite file, which holds the keys and counts the
requests. The command line makes and revokes keys in other processes, and every answer over HTTP is compared with what
was promised.
"""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ..exceptions import ConfigurationError
from .servers import DemoBroken, clean_environment, commands, example_folder, started
from .story import PREFIX, Keys, tell
from .transcript import Echo, Transcript, hide

__all__ = ["run"]


def run(echo: Echo = click.echo) -> int:
    """Run the demo.

    Args:
        echo: takes each line of the transcript.

    Returns:
        An exit code: 0 only if every answer was as promised.

    Raises:
        ConfigurationError: what the demo needs is not installed.
    """
    _check_installed()
    with _ended_like_interrupted(), TemporaryDirectory(prefix="keystile-demo-") as folder:
        try:
            transcript = _show(Path(folder), echo)
        except DemoBroken as error:
            echo(hide(f"\nThe demo cannot go on: {error}"))
            return 1
    echo(f"\n{transcript.kept} answers as promised, {transcript.broken} not.")
    return 1 if transcript.broken or not transcript.kept else 0


# The plans of the example apps, for the command line.
_CONFIG = """\
store = {url}
limiter = {url}
prefix = "{prefix}"
default_plan = "free"
[plans.free]
limits = "60/minute; 5000/day"
[plans.pro]
limits = "1000/minute"
"""


def _show(folder: Path, echo: Echo) -> Transcript:
    url = f"sqlite:///{folder / 'keystile.db'}"
    config = folder / "keystile.toml"
    # A JSON string is a TOML string too.
    config.write_text(_CONFIG.format(url=json.dumps(url), prefix=PREFIX), encoding="utf-8")
    environment = clean_environment(KEYSTILE_STORE=url, KEYSTILE_LIMITER=url)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(started(name, command, folder, environment))
            for name, command in commands(example_folder(), folder).items()
        ]
        for server in servers:
            server.wait_until_up()
        transcript = Transcript(servers, echo)
        transcript.say("Two apps behind one gate each, over one SQLite file:")
        transcript.say(*(f"  {server.name:<8} http://127.0.0.1:{server.port}" for server in servers))
        tell(transcript, Keys(config, transcript.say))
    return transcript


def _check_installed() -> None:
    missing = [name for name in ("fastapi", "uvicorn", "flask", "gunicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the demo needs {', '.join(missing)}: pip install 'keystile[demo]'")


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that the servers are stopped then, too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
