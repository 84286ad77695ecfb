"""One taught model for all tests of integrations."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.taught import taught_model


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught_model(tmp_path_factory.mktemp("taught"))
