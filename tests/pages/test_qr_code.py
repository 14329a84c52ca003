"""The QR code of a guide."""

from __future__ import annotations

import aiohttp
from aiohttp.test_utils import TestServer

from backend.composition import Services
from backend.domain.access import SYSTEM
from backend.domain.ids import new_id
from backend.domain.matters import Matter
from tests.matters.conftest import make_draft
from tests.pages.reading import read_qr


async def published(services: Services) -> Matter:
    await services.matters.publish(SYSTEM, [make_draft()])
    return await services.matters.by_code(SYSTEM, make_draft().code)


async def test_it_leads_a_phone_to_the_guide(
    services: Services, http: aiohttp.ClientSession, server: TestServer
) -> None:
    matter = await published(services)
    async with http.get(f"/api/matters/{matter.id}/qr-code") as response:
        assert response.status == 200
        assert response.content_type == "image/svg+xml"
        assert response.headers["Cache-Control"] == "public, max-age=3600"
        picture, etag = await response.read(), response.headers["ETag"]
    address = f"http://{server.host}:{server.port}/m/#/pages/guide/guide?id={matter.id}"
    assert read_qr(picture) == address
    async with http.get(f"/api/matters/{matter.id}/qr-code", headers={"If-None-Match": etag}) as response:
        assert response.status == 304


async def test_the_public_address_is_the_one_that_is_printed(
    services: Services, production: aiohttp.ClientSession
) -> None:
    matter = await published(services)
    async with production.get(f"/api/matters/{matter.id}/qr-code", headers={"Host": "evil.example"}) as response:
        assert read_qr(await response.read()).startswith("https://banshi.example/m/#/")


async def test_a_matter_that_is_not_there_has_none(http: aiohttp.ClientSession) -> None:
    async with http.get(f"/api/matters/{new_id()}/qr-code") as response:
        assert response.status == 404
