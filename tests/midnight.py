"""Tests that ask the database twice what day it is: its clock is its own, and cannot be held."""

import time

import pytest

A_DAY_S = 86_400.0
NEAR_S = 30.0  # longer than such a test takes on a slow machine


@pytest.fixture
def one_day() -> None:
    """Waits where the next day (UTC) is about to begin."""
    left = A_DAY_S - time.time() % A_DAY_S
    if left < NEAR_S:
        time.sleep(left + 0.1)
