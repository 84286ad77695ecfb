"""Malformed requests to `exante serve`: an error in OpenAI's form that names the field."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httpx2 as httpx
import pytest
from tests.malformed import builders
from tests.malformed.corpus import Case, cases

from exante.serving.app import Service, app_of
from exante.serving.asking import Limits


class _NoEngine:
    """Nothing malformed comes as far as the model."""


def answered(body: bytes, kind: str) -> httpx.Response:
    """What the application answers to a chat with this body."""
    service = Service("m", cast(Any, _NoEngine()), Limits())
    transport = httpx.ASGITransport(app=app_of(service))

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(
                "/v1/chat/completions", content=body, headers={"content-type": kind}
            )

    return asyncio.run(asked())


@pytest.mark.parametrize("case", cases("requests"), ids=lambda case: case.label)
def test_a_malformed_request_is_refused_by_field(case: Case) -> None:
    content = case.content if "make" not in case.fields else builders.body(case.fields["make"])
    assert content is not None
    reply = answered(content, case.fields["type"])
    assert reply.status_code == case.fields["status"]
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    for words in case.says:
        assert words in error["message"]
    if "param" in case.fields:
        assert error["param"] == case.fields["param"]
    assert len(reply.content) < 1500
