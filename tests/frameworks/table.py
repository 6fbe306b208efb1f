"""docs/reference/frameworks.md: the observations as tables, and what each word in them means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from tests.frameworks.cases import CASES
from tests.frameworks.kinds import KINDS

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "frameworks.md"
Cells = Mapping[tuple[str, str], str]

# What a cell may hold, why that is so, and what to do about it. A word that is not here fails the tests.
WORDS = {
    "ok": "as it should be.",
    "none": "the framework has no such thing, or not behind this door: WSGI has no websockets and no lifespan, nor "
    "has Django under ASGI; Falcon has no sub-apps, and takes only async handlers under ASGI; Bottle, Pyramid, "
    "CherryPy and Falcon under WSGI take only plain handlers.",
    "by a rule": "keystile has no module, and so no `require`, for this framework: write "
    '`Rule("POST /v1/reports", scopes=["reports:write"])`, which also refuses before anything is counted.',
    "400": "Litestar answers 400 where a body is not valid, so the code is `invalid_request`. Message and details are "
    "Litestar's.",
    "404": "to BlackSheep and Pyramid a method is part of the route, so another method is no 405; and BlackSheep "
    "answers no HEAD where it has a handler of GET. A client that has a key sees 404 `not_found`.",
    "405": "a handler of GET does not answer HEAD here, unless the app says so itself: FastAPI and Litestar want HEAD "
    "among the route's methods, Falcon wants `on_head`. The answer is a 405 with the head of the envelope.",
    "any method": "CherryPy runs a handler for every method unless it is told which (`tools.allow`, or its "
    "`MethodDispatcher`). So do Bottle's `route(…, method='ANY')`, Pyramid's routes without `request_method`, and "
    "Django's views without `require_http_methods`. **There a rule that names a method does not guard the handler:** "
    "write `/v1/exports`, not `POST /v1/exports`.",
    "the table's message": "the framework puts the reason on a page of its own, which the gate does not read: the code "
    "is right, and the message is the one that [Envelopes](../guides/envelopes.md) lists for the status. Answer with "
    "JSON where clients should see the reason.",
    "not logged": "the framework answers the exception by itself, so that neither gate nor server sees it, and logs it "
    "where its own settings say, which by default is nowhere: `LOGGING` in Django (waitress sets up the logging of its "
    'process, which is why it shows there), `LoggingConfig(log_exceptions="always")` in Litestar, `log.error_file` or '
    "`log.screen` in CherryPy.",
    "reads environ": "while a WSGI app's iterable is being sent, `current()` is over. "
    '`environ["keystile.admitted"]` is still there; or ask for the caller before the first chunk.',
    "a thread": "Django and the frameworks under WSGI have no background tasks. A thread knows the caller if it is "
    "handed the context: `Thread(target=copy_context().run, args=[work])`; else `current()` raises LookupError.",
    "by the gate": "the framework's own CORS works inside of the app, where a preflight, which never has a key, does "
    "not come: list the origins in `cors_origins` and let the gate answer ([CORS](../guides/cors.md)). The others were "
    "asked with Starlette's `CORSMiddleware` around the gate; they may use `cors_origins` as well.",
}

_HEAD = """\
# Frameworks

One little app, written the way each framework's own tutorial would write it, stands behind a gate on a real server:
uvicorn for ASGI, waitress for WSGI, cheroot for CherryPy. The tests ask all of them the same. For every framework:
**nothing is served without a key, whether or not a route is there, and every error is an envelope.** What differs is
here, with the reason.

`KEYSTILE_WRITE_DOCS=1 pytest tests/frameworks` writes this page. Without the variable the same tests compare it with
what they observe, for the versions below. How to put the gate around a framework that has no module of its own is in
[Recipes for frameworks](../guides/frameworks.md).

"""


def meaning(word: str) -> str | None:
    return WORDS.get(word)


def versions(name: str) -> str:
    """What the outcomes depend on."""
    return ", ".join(f"{package} {version(package)}" for package in KINDS[name].packages)


def document(cells: Cells) -> str:
    lines = [_HEAD + "## Tested\n", "| framework | door | the gate around it | versions |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        lines.append(f"| {name} | {'ASGI' if kind.asgi else 'WSGI'} | {kind.around} | {versions(name)} |")
    used = {cells[case.name, name] for case in CASES for name in KINDS}
    lines += ["", "## What the words mean\n", "| word | meaning |", "|---|---|"]
    lines += [f"| {word} | {text} |" for word, text in WORDS.items() if word in used]
    for section in dict.fromkeys(case.section for case in CASES):
        lines += ["", f"## {section}\n", f"| | {' | '.join(KINDS)} |", "|---" * (len(KINDS) + 1) + "|"]
        for case in CASES:
            if case.section == section:
                lines.append(f"| {case.name} | {' | '.join(cells[case.name, name] for name in KINDS)} |")
    return "\n".join(lines) + "\n"


def columns(text: str) -> dict[str, tuple[str, list[str]]]:
    """From such a document, for each framework: its versions, and its cells with the names of the cases."""
    rows = [re.split(r" \| ", line[2:-2]) for line in text.splitlines() if line.startswith("| ")]
    tested = {row[0]: row[3] for row in rows if len(row) == 4 and row[0] in KINDS}
    header = next((row for row in rows if len(row) > 4 and row[0] == "|"), None) or ["", *tested]
    wide = [row for row in rows if len(row) == len(tested) + 1 and row[1:] != list(tested)]
    places = {name: place for place, name in enumerate(header)}
    return {name: (found, [f"{row[0]}: {row[places[name]]}" for row in wide]) for name, found in tested.items()}
