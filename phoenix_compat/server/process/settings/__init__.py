"""The settings of the task server. `configuration` reads them from flags, environment and file.

`settings` has the class with all of them; the other modules have those of one subject.
"""

from __future__ import annotations

from phoenix_compat.server.process.settings.general import PREFIX, REPLICATE_URL
from phoenix_compat.server.process.settings.part import CONFLICT
from phoenix_compat.server.process.settings.settings import Settings, variables

__all__ = ["CONFLICT", "PREFIX", "REPLICATE_URL", "Settings", "variables"]
