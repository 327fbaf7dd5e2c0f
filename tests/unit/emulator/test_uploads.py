"""Uploaded files."""

from __future__ import annotations

from phoenix_compat.emulator.uploads import Upload, Uploads


def upload(name: str, size_bytes: int = 10) -> Upload:
    return Upload(name, f"{name}.png", "image/png", bytes(size_bytes), 0.0)


def test_the_oldest_make_room() -> None:
    """Together they never exceed the bound; the newest always stays."""
    uploads = Uploads(25)

    for name in "abc":
        uploads.add(upload(name))

    assert [kept.id for kept in uploads.newest_first()] == ["c", "b"]
    assert uploads.find("a") is None


def test_one_larger_than_the_bound_is_alone() -> None:
    """A file that fills it all drives the others out and is kept."""
    uploads = Uploads(25)
    uploads.add(upload("a"))

    uploads.add(upload("b", 100))

    assert [kept.id for kept in uploads.newest_first()] == ["b"]


def test_removing() -> None:
    """A file can be removed once."""
    uploads = Uploads(25)
    uploads.add(upload("a"))

    assert uploads.remove("a") is True
    assert uploads.remove("a") is False


def test_the_document() -> None:
    """Size, checksums, times and the URL are told."""
    document = upload("a").document("http://emu")

    assert document["size"] == 10
    assert set(document["checksums"]) == {"sha256", "md5"}
    assert document["expires_at"] == "1970-01-02T00:00:00.000Z"
    assert document["urls"] == {"get": "http://emu/v1/files/a"}
