"""The links to this server's copies of files, in place of the addresses in a stored result."""

from __future__ import annotations

import msgspec
import pytest

from phoenix_compat.tasks.model.file_links import with_file_links
from phoenix_compat.tasks.model.task import (
    TaskStatus,
    progress_payload,
    task_document,
    task_list_entry,
)
from tests.unit.tasks.sample_tasks import make_task

NAME = "ab" * 32 + ".png"
SOURCE = "https://replicate.delivery/x/out-0.png"
FILES = ({"sha256": "ab" * 32, "path": f"ab/ab/{NAME}", "source_url": SOURCE},)
BASE = "http://192.168.1.20:4000"
LINK = f"{BASE}/files/{NAME}"
OTHER = "https://replicate.delivery/x/out-1.png"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (SOURCE, LINK),
        (OTHER, OTHER),
        (f"https://old.example/files/{NAME}", LINK),
        (f"/files/{NAME}", LINK),
        (
            f"https://old.example/files/{'cd' * 32}.png",
            f"https://old.example/files/{'cd' * 32}.png",
        ),
        (NAME, NAME),
        (f"see {SOURCE}", f"see {SOURCE}"),
        ([SOURCE, OTHER, 3, None], [LINK, OTHER, 3, None]),
        ({"picture": {"url": [SOURCE]}}, {"picture": {"url": [LINK]}}),
        (0.5, 0.5),
    ],
)
def test_a_stored_file_is_linked_wherever_its_address_stands(stored: object, shown: object) -> None:
    """A5: also in lists and objects, and in rows of older versions that link to this server."""
    assert with_file_links({"value": stored}, FILES, BASE) == {"value": shown}


def test_without_an_address_the_links_are_paths() -> None:
    """A5: a client over a Unix socket need not name a host."""
    assert with_file_links({"image_url": SOURCE}, FILES, "") == {"image_url": f"/files/{NAME}"}


def test_without_a_copy_the_address_is_the_providers() -> None:
    """A5: the file could not be stored; the provider's copy is better than none."""
    assert with_file_links({"image_url": SOURCE}, (), BASE) == {"image_url": SOURCE}


def test_every_form_of_a_task_has_the_links() -> None:
    """A5: the payload on the channel, the entry of the list, and the task in full."""
    task = msgspec.structs.replace(
        make_task(TaskStatus.COMPLETED), result_data={"image_url": SOURCE}, files=FILES
    )

    forms = (
        progress_payload(task, BASE),
        task_list_entry(task, base_url=BASE),
        task_document(task, base_url=BASE),
    )

    assert [form["result_data"] for form in forms] == [{"image_url": LINK}] * 3
