"""What holds for all tests: no network, one thread per worker, the same examples, Ctrl-C works."""

from __future__ import annotations

import os
import signal

# A shell that starts the tests in the background lets them, and all they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before anything imports torch or transformers: they read these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings  # noqa: E402

settings.register_profile("exante", deadline=None, derandomize=True, max_examples=200)
settings.load_profile("exante")
