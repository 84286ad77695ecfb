"""The setting either takes or says that it did not; it never fails."""

from __future__ import annotations

import platform
import subprocess
import sys


def test_it_takes_on_glibc_and_is_harmless_elsewhere() -> None:
    code = "from exante.models.memory import keep_freed_memory as f; print(f(), f())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = "True True" if platform.libc_ver()[0] == "glibc" else "False False"
    assert done.stdout.strip() == expected
