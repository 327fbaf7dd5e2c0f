"""Uploaded files."""

from __future__ import annotations

from phoenix_compat.emulator.uploads import Upload, Uploads


def upload(name: str, size_bytes: int = 10) -> Upload:
    return Upload(name, f"{name}.png", "image/png", bytes(size_bytes), 0.0)


def test_the_oldest_are_evicted() -> None:
    """The oldest files are evicted to stay within the limit; the newest always stays."""
    uploads = Uploads(25)

    for name in "abc":
        uploads.add(upload(name))

    assert [stored.id for stored in uploads.newest_first()] == ["c", "b"]
    assert uploads.find("a") is None


def test_a_file_above_the_limit_evicts_all_others() -> None:
    """A file that exceeds the limit is stored alone."""
    uploads = Uploads(25)
    uploads.add(upload("a"))

    uploads.add(upload("b", 100))

    assert [stored.id for stored in uploads.newest_first()] == ["b"]


def test_a_file_can_be_removed_once() -> None:
    """A second removal returns False."""
    uploads = Uploads(25)
    uploads.add(upload("a"))

    assert uploads.remove("a") is True
    assert uploads.remove("a") is False


def test_the_document_describes_the_file() -> None:
    """It has the size, the checksums, the expiry and the URL."""
    document = upload("a").document("http://emu")

    assert document["size"] == 10
    assert set(document["checksums"]) == {"sha256", "md5"}
    assert document["expires_at"] == "1970-01-02T00:00:00.000Z"
    assert document["urls"] == {"get": "http://emu/v1/files/a"}


def test_a_file_is_there_for_a_day() -> None:
    """As its document says."""
    uploads = Uploads(25)
    uploads.add(upload("a"))

    uploads.forget_expired(86_399.0)
    before = uploads.find("a")
    uploads.forget_expired(86_400.0)

    assert before is not None
    assert uploads.find("a") is None
