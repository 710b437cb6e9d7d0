import pytest

pytest.register_assert_rewrite("tests.sandboxes.contract", "tests.sandboxes.containment")
