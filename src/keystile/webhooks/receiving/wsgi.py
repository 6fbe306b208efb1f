"""The WSGI door for signed messages: it verifies them before the app runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from ..._sync import inline, run_now
from ...answers.envelopes import STATUS_LINES
from ...answers.writers import Writers
from ...doors.apps import check_app
from ...doors.wsgi.bodies import read_body
from ...doors.wsgi.protocol import Environ, ExcInfo, Headers, StartResponse, Write, close, variable_of
from ...doors.wsgi.reading import Reader
from ...doors.wsgi.sending import Sender
from ...exceptions import ConfigurationError
from ...gate import Gate
from ...model import Reason, Refused
from ...policy.webhooks import KEEP_IDS, Receiver
from ..schemes import Fields
from .ids import IdStore
from .order import Arrival, Receiving, Repeated, Verified

App = Callable[[Environ, StartResponse], Iterable[bytes]]


class WebhookMiddleware:
    """Lets a signed message through to the app, and answers what is not signed as it should be. Requests that concern
    no receiver go to the app as they are.

    The app gets the octets that were signed. A handler finds the `webhooks.Received` in
    ``environ["keystile.webhook"]``. Beside a gate, this stands inside of it, and the receivers' paths are among the
    gate's `public`: senders have no key.

    Args:
        app: any WSGI application.
        receive: where messages arrive, and how they are signed.
        ids: where the ids of messages are kept, so that none runs the app twice: ``"memory://"``,
            ``"sqlite:///file.db"``, or an `IdStore` with plain methods. None keeps none.
        keep_ids: for how many seconds.
        gate: the gate that it stands beside: its events, clock, proxies and error format hold here too.

    Raises:
        ConfigurationError: a setting cannot be used, two contradict each other, the ids are async, or the app cannot be
            called as a WSGI app.
    """

    def __init__(
        self,
        app: App,
        receive: Iterable[Receiver],
        *,
        ids: str | IdStore | None = None,
        keep_ids: int = KEEP_IDS,
        gate: Gate | None = None,
    ) -> None:
        check_app(app, "wsgi")
        self.app = app
        self._receiving = Receiving(receive, ids, keep_ids, gate)
        if self._receiving.needs_await:
            raise ConfigurationError("the store of ids is async: WSGI needs one with plain methods", key="ids")
        self._read = Reader(self._receiving.gate).read
        self._refuse = Sender(self._receiving.gate, Writers(self._receiving.gate, str)).refuse

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = self._read(environ)
        places = self._receiving.concerns(request)
        if not places:
            return self.app(environ, start_response)
        arrival = self._receiving.meet(places, request, environ.get("keystile.admitted"), partial(_lines, environ))
        outcome = arrival if isinstance(arrival, Refused) else self._judge(arrival, environ)
        if isinstance(outcome, Refused):
            return self._refuse(outcome, environ, start_response)
        if isinstance(outcome, Repeated):
            return _say_done(outcome, start_response)
        environ["keystile.webhook"] = outcome.received
        return self._run(outcome, environ, start_response)

    def _judge(self, arrival: Arrival, environ: Environ) -> Verified | Repeated | Refused:
        body = read_body(environ, arrival.hook.max_body)
        if isinstance(body, Reason):
            return self._receiving.refused(body, arrival.visit)
        return run_now(self._receiving.judge(arrival, body, inline))

    def _run(self, verified: Verified, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if verified.id is None:
            return self.app(environ, start_response)

        def settle(*, success: bool) -> None:
            run_now(self._receiving.settle(verified, inline, success=success))

        noting = _Noting(start_response, settle)
        try:
            return noting.over(self.app(environ, noting.start))
        except BaseException:
            noting.end(success=False)
            raise


class _Noting:
    """Watches an answer, and says how it ended before the client can know: by its length, a client knows with the last
    octets. So each chunk waits until the app has made the next one, or has ended."""

    def __init__(self, start_response: StartResponse, settle: Callable[..., None]) -> None:
        self._start, self._settle = start_response, settle
        self._success = self._settled = False
        self._iterable: Iterable[bytes] = ()

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
        """For the app, in place of the server's `start_response`."""
        self._success = status.startswith("2")
        return self._start(status, headers, exc_info) if exc_info else self._start(status, headers)

    def over(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """The app's octets."""
        self._iterable = iterable
        return self

    def __iter__(self) -> Iterator[bytes]:
        waiting: bytes | None = None
        try:
            for chunk in self._iterable:
                if waiting is not None:
                    yield waiting
                waiting = chunk
        except BaseException:
            self.end(success=False)
            raise
        self.end(success=self._success)
        if waiting is not None:
            yield waiting

    def close(self) -> None:
        """See PEP 3333."""
        try:
            close(self._iterable)
        finally:
            self.end(success=False)

    def end(self, *, success: bool) -> None:
        """Note how it ended, once."""
        if not self._settled:
            self._settled = True
            self._settle(success=success)


def _lines(environ: Environ, names: Sequence[str]) -> Fields:
    variables = {name: variable_of(name) for name in names}
    return {
        name.encode(): [environ[variable].encode("latin-1", "replace")]
        for name, variable in variables.items()
        if variable in environ
    }


def _say_done(repeated: Repeated, start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Length", "0"), ("Cache-Control", "no-store"), ("X-Request-ID", repeated.request_id)]
    start_response(STATUS_LINES[200], headers)
    return []
