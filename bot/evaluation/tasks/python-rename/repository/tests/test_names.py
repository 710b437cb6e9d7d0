"""The rules of the house: a module is named after what is in it."""

import unittest
from pathlib import Path

SHOP = Path(__file__).parent.parent / "shop"
SAY_NOTHING = {"helpers", "utils", "misc", "common", "legacy", "compat"}


class NamesTest(unittest.TestCase):
    def test_every_module_says_what_is_in_it(self):
        modules = [path.relative_to(SHOP).with_suffix("") for path in SHOP.rglob("*.py")]
        named = {part for module in modules for part in module.parts}
        self.assertEqual(named & SAY_NOTHING, set())
