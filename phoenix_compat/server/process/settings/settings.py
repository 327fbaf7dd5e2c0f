"""The class with all settings of the task server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import AliasChoices, ConfigDict, PrivateAttr, model_validator

from phoenix_compat.server.process.settings.auth import AuthSettings
from phoenix_compat.server.process.settings.backends import BackendSettings
from phoenix_compat.server.process.settings.budget import BudgetSettings
from phoenix_compat.server.process.settings.connections import ConnectionSettings
from phoenix_compat.server.process.settings.files import FileSettings
from phoenix_compat.server.process.settings.general import PREFIX, GeneralSettings
from phoenix_compat.server.process.settings.nodes import NodeSettings
from phoenix_compat.server.process.settings.part import conflict
from phoenix_compat.server.process.settings.rates import RateSettings
from phoenix_compat.server.process.settings.uploads import UploadSettings


# pydantic puts the fields of the last base first.
class Settings(
    BackendSettings,
    RateSettings,
    ConnectionSettings,
    UploadSettings,
    BudgetSettings,
    AuthSettings,
    NodeSettings,
    FileSettings,
    GeneralSettings,
):
    """Everything an operator can choose; the description of each field says what it does.

    In the environment the field `name` is `PHOENIX_COMPAT_NAME`; Replicate's own variables and
    PUBLIC_URL keep their names. This class takes its values from its arguments alone:
    `load_configuration` reads flags, environment and file.
    """

    model_config = ConfigDict(
        defer_build=False,
        validate_default=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        allow_inf_nan=False,
        # An error quotes what it was given, and that may be the token.
        hide_input_in_errors=True,
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.unix_socket is not None and self.workers > 1:
            raise conflict(
                "{unix_socket}: works with one process only; remove it, or set {workers} to 1",
                ("unix_socket", "workers"),
            )
        if self.has_token and self.replicate_api_token_file is not None:
            raise conflict(
                "{replicate_api_token}: cannot be combined with {replicate_api_token_file}; "
                "remove one of them",
                ("replicate_api_token", "replicate_api_token_file"),
            )
        if self.send_inputs_as_links and not (self.public_url or "").startswith("https://"):
            raise conflict(
                "{send_inputs_as_links}: needs a public_url that begins with https://, where "
                "Replicate can fetch the files; set it, or remove this",
                ("send_inputs_as_links",),
            )
        return self

    _contents: Mapping[str, bytes] = PrivateAttr(default_factory=dict)

    @property
    def contents(self) -> Mapping[str, bytes]:
        """The contents of files that settings name, by the setting; see FrozenSettings."""
        return self._contents

    def with_contents(self, contents: Mapping[str, bytes]) -> Self:
        """These settings; where a content is given, its file is not read again."""
        copy = self.model_copy()
        copy._contents = dict(contents)  # noqa: SLF001 - a copy of this object
        return copy

    @property
    def hidden_parameters(self) -> tuple[str, ...]:
        """The words in the names of parameters that logs hide, besides the usual ones."""
        return (*self.filter_parameters, *self.token_params)

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "tasks.sqlite3"

    @property
    def files_path(self) -> Path:
        """The folder of the archived files; where they arrive, if they are stored in a bucket."""
        return self.shared_folder or self.data_dir / "files"

    @property
    def emulator_path(self) -> Path:
        """Where the emulator stores its predictions, if it is used."""
        return self.data_dir / "emulator.jsonl"

    @property
    def has_token(self) -> bool:
        """Whether to use Replicate, or what REPLICATE_BASE_URL names, instead of the emulator."""
        token = self.replicate_api_token
        return token is not None and token.get_secret_value() != ""


def variables(name: str) -> tuple[str, ...]:
    """The environment variables of a setting, the preferred one first."""
    alias = Settings.model_fields[name].validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else ()
    named = tuple(str(choice) for choice in choices if str(choice).isupper())
    return named or (PREFIX + name.upper(),)
