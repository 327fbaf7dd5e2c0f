"""The page at /docs: it and its files are served with a strict policy, compressed or not."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.openapi.openapi_server import open_server


async def test_the_page_and_its_files_are_served(tmp_path: Path) -> None:
    """Each file that the page names; the same with and without compression, and 304 if known."""
    async with open_server(tmp_path) as server:
        url = f"{server.url}/docs"
        async with server.http.get(url) as answer:
            text = await answer.text()
            policy = answer.headers["Content-Security-Policy"]
        names = re.findall(r'(?:src|href)="/docs/([^"]+)"', text)
        for name in names:
            found, etag = [], ""
            for encoding in ("gzip", "identity"):
                headers = {"Accept-Encoding": encoding}
                async with server.http.get(f"{url}/{name}", headers=headers) as answer:
                    assert answer.status == 200
                    assert answer.headers["Content-Security-Policy"] == policy
                    assert answer.headers.get("Content-Encoding", encoding) == encoding
                    found.append(await answer.read())
                    etag = answer.headers["ETag"]
            assert found[0] == found[1]
            async with server.http.get(f"{url}/{name}", headers={"If-None-Match": etag}) as answer:
                assert answer.status == 304

    assert len(names) == 4
    assert "script-src 'self'" in policy


async def test_another_name_is_not_found(tmp_path: Path) -> None:
    """Files that the page does not load are not served, whatever the name is."""
    async with open_server(tmp_path) as server:
        for name in ("missing.js", "..%2f__init__.py", "vendor%2fvendored.json"):
            async with server.http.get(f"{server.url}/docs/{name}") as answer:
                assert answer.status == 404
