"""What holds for all tests: no network, one thread per worker, the same examples every time."""

from __future__ import annotations

import os

# Before anything imports torch or transformers: they read these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings  # noqa: E402

settings.register_profile("exante", deadline=None, derandomize=True, max_examples=200)
settings.load_profile("exante")
