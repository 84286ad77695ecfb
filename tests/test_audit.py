"""`make audit`: vulnerabilities are an error, and so is an audit that was not held."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLEAN = "No known vulnerabilities found"
FOUND = "Found 2 known vulnerabilities in 1 package"
SKIPPED = "torch  Dependency not found and could not be audited: torch (2.13.0)"
BROKEN = "requests.exceptions.ConnectionError: Max retries exceeded"


@pytest.mark.parametrize(
    ("said", "code", "status", "told"),
    [
        (CLEAN, 0, 0, CLEAN),
        (FOUND, 1, 2, FOUND),
        (BROKEN, 1, 2, "NOT AUDITED"),
        (SKIPPED, 0, 2, "NOT AUDITED"),
        ("", 0, 2, "NOT AUDITED"),
    ],
)
def test_only_an_audit_that_found_nothing_is_green(
    tmp_path: Path, said: str, code: int, status: int, told: str
) -> None:
    tool = tmp_path / "bin" / "pip-audit"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {code}\n")
    tool.chmod(0o755)
    command = ["make", "--no-print-directory", "audit", f"AUDIT={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert told in done.stdout
