"""Signs SHA256SUMS with an SSH key, and so all release files, whose hashes it has.

SSH, because maintainers have a key and users have ssh-keygen. docs/deploy.md shows how to verify.
"""

# ruff: noqa: S603 - ssh-keygen with our own arguments

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "file"
"""What the signature is for: a signature that was made for something else is not accepted."""


class SigningError(Exception):
    """SHA256SUMS cannot be signed; the text says why."""


def signature_of(sums: Path) -> Path:
    """The path of the signature of SHA256SUMS."""
    return sums.with_name(f"{sums.name}.sig")


def check_key(key: Path) -> None:
    """Check that a key can be used, before minutes are spent on building.

    Args:
        key: a private key, or the public one of a key that an agent or a hardware token holds.

    Raises:
        SigningError: it is missing, or is inside the repository.
    """
    if shutil.which("ssh-keygen") is None:
        raise SigningError("ssh-keygen is missing; run: apt-get install openssh-client")
    if not key.is_file():
        raise SigningError(f"there is no key {key}; make one: ssh-keygen -t ed25519 -f {key}")
    if key.resolve().is_relative_to(ROOT):
        raise SigningError(f"{key} is in the repository; keep the key elsewhere")


def sign_sums(sums: Path, key: Path) -> Path:
    """Sign SHA256SUMS. Returns the path of the signature.

    Raises:
        SigningError: ssh-keygen refuses; the text has its message.
    """
    signature_of(sums).unlink(missing_ok=True)  # otherwise it asks
    command = ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", str(key), str(sums)]
    # Standard input is inherited: the key may have a passphrase.
    finished = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if finished.returncode != 0:
        raise SigningError(f"ssh-keygen did not sign: {finished.stderr.strip()}")
    return signature_of(sums)
