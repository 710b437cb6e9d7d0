import json
import tempfile
import unittest
from pathlib import Path

from settings import load


class LoadingTest(unittest.TestCase):
    def test_the_defaults(self):
        self.assertEqual(load()["database"]["port"], 5432)

    def test_a_file_goes_over_the_defaults(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "settings.json"
            file.write_text(json.dumps({"database": {"host": "db"}}))
            self.assertEqual(load(file)["database"]["host"], "db")

    def test_one_load_does_not_touch_the_next(self):
        load(env={"APP_DATABASE__HOST": "elsewhere"})
        self.assertEqual(load()["database"]["host"], "localhost")
