"""Django: settings, views and URLs of one site for both doors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator

import django
import state
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from keystile.integrations.django import require

KEYSTILE = "keystile.integrations.django.KeystileMiddleware"
SEEN = f"{__name__}.seen"

settings.configure(
    ALLOWED_HOSTS=["*"],
    KEYSTILE={"gate": "gates:gate"},
    MIDDLEWARE=[SEEN],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    USE_TZ=True,
)
django.setup()


def seen(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Django's middleware, as its documentation writes one that is sync and async capable."""

    def tell(response: HttpResponse) -> HttpResponse:
        response["x-seen"] = state.seen()
        return response

    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            return tell(await get_response(request))

    else:

        def middleware(request: HttpRequest) -> HttpResponse:
            return tell(get_response(request))

    return middleware


seen.sync_capable = seen.async_capable = True


def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse(state.PUBLIC)


@require_safe
def from_sync(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"caller": state.seen()})


async def from_async(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"caller": state.seen()})


def handed(request: HttpRequest) -> JsonResponse:
    return JsonResponse(state.handed(request.scope if hasattr(request, "scope") else request.META))


@csrf_exempt
@require_POST
def export(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"caller": state.seen()})


@csrf_exempt
def order(request: HttpRequest) -> JsonResponse:
    if not isinstance(json.loads(request.body)["count"], int):
        return JsonResponse({"message": "count is a number"}, status=422)
    return JsonResponse({})


def boom(request: HttpRequest) -> None:
    state.boom()


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        yield b"first\n"
        yield state.wait()

    async def achunks() -> AsyncIterator[bytes]:
        yield b"first\n"
        yield await sync_to_async(state.wait, thread_sensitive=False)()

    served = achunks() if hasattr(request, "scope") else chunks()
    return StreamingHttpResponse(served, content_type="text/plain")


@csrf_exempt
def go_on(request: HttpRequest) -> JsonResponse:
    return JsonResponse(state.go_on())


@csrf_exempt
def upload(request: HttpRequest) -> JsonResponse:
    length = 0
    while chunk := request.read(65_536):
        length += len(chunk)
    return JsonResponse({"length": length})


@csrf_exempt
def task(request: HttpRequest) -> JsonResponse:
    if request.method == "POST":
        return JsonResponse(state.tell_in_a_thread())
    return JsonResponse(state.told())


@csrf_exempt
@require("reports:write")
def report(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"caller": state.seen()})


sub = [path("things", from_sync), path("guarded", from_sync)]
urlpatterns = [
    path("health", health),
    path("v1/me", from_sync),
    path("v1/sync", from_sync),
    path("v1/async", from_async),
    path("v1/handed", handed),
    path("v1/limited", from_sync),
    path("v1/exports", export),
    path("v1/orders", order),
    path("v1/reports", report),
    path("v1/boom", boom),
    path("v1/stream", stream),
    path("v1/next", go_on),
    path("v1/upload", upload),
    path("v1/task", task),
    path("sub/", include(sub)),
]
