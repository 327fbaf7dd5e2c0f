"""What `files_url` may say about a bucket."""

from __future__ import annotations

import pytest

from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location, parse_s3_url

KEYS = "access_key_id=AKIAEXAMPLE&secret_access_key=very%2Fsecret"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://pictures", S3Location("pictures")),
        ("s3://pictures/", S3Location("pictures")),
        ("s3://pictures/app/files/", S3Location("pictures", "app/files")),
        (
            f"s3://pictures?endpoint=http://127.0.0.1:9000&region=eu-central-1&{KEYS}",
            S3Location(
                "pictures",
                "",
                {
                    "endpoint": "http://127.0.0.1:9000",
                    "region": "eu-central-1",
                    "access_key_id": "AKIAEXAMPLE",
                    "secret_access_key": "very/secret",
                },
            ),
        ),
    ],
)
def test_a_bucket_is_read(url: str, expected: S3Location) -> None:
    """With its prefix and options, which may be percent-encoded."""
    assert parse_s3_url(url) == expected


def test_people_see_everything_but_the_secrets() -> None:
    """In `str` and `repr`."""
    location = parse_s3_url(f"s3://pictures/app?endpoint=https://minio.example:9000&{KEYS}")

    assert str(location) == "s3://pictures/app?endpoint=https://minio.example:9000"
    assert "AKIAEXAMPLE" not in repr(location)
    assert location.secrets == ("AKIAEXAMPLE", "very/secret")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://pictures", "s3://"),
        ("s3://", "name a bucket"),
        ("s3://a b", "name a bucket"),
        ("s3://[", "cannot be read"),
        ("s3://AKIAEXAMPLE:very-secret@pictures", "user name or password"),
        ("s3://pictures/../other", "prefix"),
        ("s3://pictures/a//b", "prefix"),
        (f"s3://pictures/{'a' * 600}", "prefix"),
        ("s3://pictures#x", "'#'"),
        ("s3://pictures?nonsense", "query"),
        ("s3://pictures?secret=very-secret", "not known"),
        ("s3://pictures?region=", "region once"),
        ("s3://pictures?region=a&region=b", "region once"),
        ("s3://pictures?secret_access_key=very-secret", "together"),
        ("s3://pictures?endpoint=minio:9000", "endpoint"),
        ("s3://pictures?endpoint=http://u:very-secret@minio", "endpoint"),
        ("s3://pictures?endpoint=http://[", "endpoint"),
    ],
)
def test_what_cannot_work_is_refused(url: str, problem: str) -> None:
    """The text says what to write instead, and quotes no secret."""
    with pytest.raises(ValueError, match=problem) as raised:
        parse_s3_url(url)

    assert "very-secret" not in str(raised.value)
