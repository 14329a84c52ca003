"""An upload may name the page it replaces: that gives nobody power over the pages of others."""

from __future__ import annotations

from datetime import timedelta

from backend.composition import Services
from backend.domain.ids import new_id
from backend.integrations.clock import WarpedClock
from backend.jobs.material_cleanup import MaterialCleanup
from tests.uploads.conftest import GOOD, Citizen


async def test_a_repeated_upload_that_names_another_case_s_page_leaves_it_alone(
    citizen: Citizen, stranger: Citizen, services: Services, clock: WarpedClock
) -> None:
    _, page = await citizen.upload()
    upload_id, pages = new_id(), services.database["material_pages"]
    _, own = await stranger.upload(upload_id=upload_id)
    # as a process leaves it that dies between the slot and the record
    await pages.update_one({"_id": own["id"]}, {"$set": {"attached_at": None}})
    # the page's own slot is not to save it here: an office has it that no slot names any more
    await services.database["cases"].update_one({"_id": citizen.case_id}, {"$set": {"materials": []}})

    await stranger.replace(page["id"], GOOD, upload_id=upload_id)

    clock.warp(timedelta(hours=30))
    await MaterialCleanup(services.materials).once()
    assert await pages.count_documents({"_id": page["id"]}) == 1
