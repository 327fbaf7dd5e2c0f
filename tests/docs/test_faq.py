"""Links, settings and commands in docs/faq.md, docs/ios.md and docs/from-elixir.md exist."""

from __future__ import annotations

import re

import click
import pytest

from phoenix_compat.cli import cli
from phoenix_compat.server.process.settings import Settings
from tests.docs.pages import DOCS, ROOT, anchors, links, page, prose

FAQ = page("faq.md")
PAGES = ["faq.md", "ios.md", "from-elixir.md"]

OTHER_WORDS = {
    *("task_id", "input_data", "result_data", "error_data", "image_url", "prediction_id"),
    *("server_name", "phx_close", "join_ref"),
    *("secret_key_base", "key_iterations", "key_length", "key_digest"),
    *("provider_account", "model_failed"),
}
"""Words with an underscore that are not settings: keys, codes, directives of nginx, arguments."""


def questions() -> list[tuple[str, str]]:
    """Return each question with its answer."""
    found = re.split(r"^### (.+)$", FAQ, flags=re.MULTILINE)[1:]
    return [
        (question, answer.partition("\n## ")[0])
        for question, answer in zip(found[::2], found[1::2], strict=True)
    ]


def test_there_are_thirty_questions_for_five_readers() -> None:
    """The page has as many questions and groups as it says."""
    assert len(questions()) == 30
    assert len(re.findall(r"^## ", FAQ, re.MULTILINE)) == 5


@pytest.mark.parametrize(("question", "answer"), questions())
def test_every_answer_is_short_and_links_to_a_page(question: str, answer: str) -> None:
    """An answer has at most five lines and links to a page that says more."""
    assert question.strip()
    assert links(answer)
    assert len(answer.strip().splitlines()) <= 5


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve_to_files_and_headings(name: str) -> None:
    """Each relative link names a file that exists, and a heading in it."""
    found = links(page(name))
    broken = [
        (path, anchor)
        for path, anchor in found
        if not (DOCS / path).exists()
        or (anchor and anchor not in anchors(page(path) if path else page(name)))
    ]

    assert found
    assert broken == []


@pytest.mark.parametrize("name", PAGES)
def test_the_readme_links_to_each_page(name: str) -> None:
    """The README has a link to each of these pages."""
    assert f"](docs/{name})" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_settings_exist(name: str) -> None:
    """Each word with an underscore is a setting or is listed in `OTHER_WORDS`."""
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", prose(page(name))))

    assert words - set(Settings.model_fields) - OTHER_WORDS == set()


def test_every_listed_word_is_used() -> None:
    """Each word of `OTHER_WORDS` occurs on a page."""
    text = "".join(page(name) for name in PAGES)

    assert {word for word in OTHER_WORDS if not re.search(rf"\b{word}\b", text)} == set()


@pytest.mark.parametrize("name", PAGES)
def test_commands_exist(name: str) -> None:
    """Each `phoenix-compat …` on a page is an existing command with existing options."""
    for line in re.findall(r"phoenix-compat\s+([a-z][^`\n]*)", page(name)):
        words = line.split()
        found: click.Command = cli
        while isinstance(found, click.Group) and words[0] in found.commands:
            found = found.commands[words.pop(0)]
        options = {option for parameter in found.params for option in parameter.opts}
        assert found is not cli, line
        assert {word for word in words if word.startswith("--")} <= options, line
