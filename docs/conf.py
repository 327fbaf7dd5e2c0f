"""How Sphinx builds the documentation: `make docs` writes it to build/docs.

The sources are the Markdown files in the repository itself. So relative links work both on a code
host and on the site, and README, CHANGELOG and CONTRIBUTING are pages of the site without a copy.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from phoenix_compat import __version__  # noqa: E402 - it is found by the line above

project = "phoenix_compat"
author = "the authors of phoenix_compat"
release = version = __version__

root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**",
    "phoenix_compat/conformance/**/README.md",
    "phoenix_compat/emulator/README.md",
    "tests/conformance/checklist.md",
]
# The first three would match nothing above; naming them keeps Sphinx from walking through them.
exclude_patterns = [".venv", "build", "**/node_modules", "docs/_extra"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Headings get the anchors that code hosts give them, so links to them work in both places.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

# Text in single backticks in a docstring is code.
default_role = "code"

# The API reference: names as users import them, in the order of the source.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Pygments does not know Swift's key paths (`\.scenePhase`); show such snippets anyway.
suppress_warnings = ["misc.highlighting_failure"]

# External links are not fetched: the build needs no network.
nitpicky = True
nitpick_ignore_regex = [
    # Classes of other projects; their documentation is not fetched, see above.
    ("py:.*", r"(aiohttp|web|logging|collections|pathlib|ssl|typing|unittest)\..*"),
    # Internal types that appear in signatures but that users do not import.
    (
        "py:.*",
        r"phoenix_compat\.(channel\.[FGP]|channel\.Mark\w+|cluster\.bus\.T|pubsub\.Member)",
    ),
    ("py:.*", r"phoenix_compat\.endpoint\.(mounted_socket|draining)\..*"),
    ("py:.*", r"phoenix_compat\.(transports|conformance\.faults|protocol\.serializer)\..*"),
    ("py:.*", r"(BusOptions|Params|FaultError)"),
]

html_theme = "furo"
html_title = f"phoenix_compat {release}"
html_extra_path = ["_extra"]
html_copy_source = False
html_show_copyright = False


def shorten(*event: Any) -> tuple[str, str] | None:
    """Replace defaults that Python cannot spell with dots, to keep signatures readable."""
    _app, _what, _name, _object, _options, signature, returned = event
    if signature is None:
        return None
    return re.sub(r"\(\(<.+?\)\)|<factory>", "...", signature), returned


def setup(app: Sphinx) -> None:
    """Shorten signatures, and register the block languages that Pygments does not know."""
    app.connect("autodoc-process-signature", shorten)
    for language in ("wire", "wire-v1", "caddy"):
        app.add_lexer(language, TextLexer)
