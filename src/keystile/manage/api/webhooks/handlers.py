"""What each route about webhook endpoints does: it calls one operation."""

from __future__ import annotations

from typing import Any

from ..handlers import Asked


async def list_endpoints(asked: Asked) -> Any:
    """Endpoints, the oldest first."""
    return await asked.operations.endpoints.list(asked.call, **asked.query, **asked.place)


async def create_endpoint(asked: Asked) -> Any:
    """A new endpoint, with its secret."""
    return await asked.operations.endpoints.create(asked.call, **asked.fields)


async def get_endpoint(asked: Asked) -> Any:
    """One endpoint."""
    return await asked.operations.endpoints.get(asked.call, asked.id)


async def update_endpoint(asked: Asked) -> Any:
    """An endpoint, changed."""
    return await asked.operations.endpoints.update(asked.call, asked.id, **asked.fields, revision=asked.revision)


async def delete_endpoint(asked: Asked) -> Any:
    """An endpoint, ended."""
    return await asked.operations.endpoints.delete(asked.call, asked.id)


async def rotate_secret(asked: Asked) -> Any:
    """An endpoint with a new secret."""
    return await asked.operations.endpoints.rotate(asked.call, asked.id, **asked.fields, revision=asked.revision)


async def enable_endpoint(asked: Asked) -> Any:
    """An endpoint, enabled."""
    return await asked.operations.endpoints.enable(asked.call, asked.id, revision=asked.revision)


async def disable_endpoint(asked: Asked) -> Any:
    """An endpoint, disabled."""
    return await asked.operations.endpoints.disable(asked.call, asked.id, revision=asked.revision)


async def send_test(asked: Asked) -> Any:
    """The id of a test message."""
    return await asked.operations.endpoints.test(asked.call, asked.id)


async def list_deliveries(asked: Asked) -> Any:
    """Deliveries, the newest first."""
    return await asked.operations.endpoints.deliveries(asked.call, asked.id, **asked.query, **asked.place)


async def get_delivery(asked: Asked) -> Any:
    """One delivery, with its attempts."""
    return await asked.operations.endpoints.delivery(asked.call, **asked.ids)


async def retry_delivery(asked: Asked) -> Any:
    """A delivery that is due again."""
    return await asked.operations.endpoints.retry(asked.call, **asked.ids)


async def retry_failed(asked: Asked) -> Any:
    """How many deliveries are due again."""
    return await asked.operations.endpoints.retry_failed(asked.call, asked.id, **asked.fields)
