"""Runs servers that refuse to run as root as somebody else."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.services.programs import program

_USERS: Final = ("postgres", "nobody")


def unprivileged(command: Sequence[str], *, dies_by: str = "TERM") -> list[str]:
    """The command as a user who is not root. It gets a signal when the thread that started it ends.

    Args:
        dies_by: the name of that signal.
    """
    options = ["--pdeathsig", dies_by]
    if _is_root():
        user = _user()
        options += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return [program("setpriv", "util-linux"), *options, "--", *command]


def make_folder(name: str, parent: Path | None = None) -> Path:
    """A new folder that this user can write, with a path that is short enough for sockets.

    Args:
        parent: where it is made; None for the folder of temporary files.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"phoenix-{name}-", dir=parent))
    if _is_root():
        shutil.chown(folder, _user().pw_uid, _user().pw_gid)
    return folder


def _is_root() -> bool:
    return os.geteuid() == 0


def _user() -> pwd.struct_passwd:
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(users[name] for name in _USERS if name in users)
