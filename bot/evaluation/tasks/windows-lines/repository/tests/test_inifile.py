import unittest
from pathlib import Path

from inifile import IniFile

TILL = (Path(__file__).parent.parent / "till.ini").read_bytes()


class IniFileTest(unittest.TestCase):
    def test_unix_lines(self):
        ini = IniFile(b"[a]\nx=1\n")
        ini.set("a", "x", "2")
        ini.set("b", "y", "3")
        self.assertEqual(ini.get("a", "x"), "2")
        self.assertEqual(ini.get("b", "y"), "3")

    def test_what_was_read_can_be_written_again(self):
        self.assertEqual(IniFile(TILL).content(), TILL)

    def test_values_have_no_line_ends(self):
        self.assertEqual(IniFile(TILL).get("printer", "port"), "COM1")

    def test_a_changed_line_ends_like_the_others(self):
        ini = IniFile(TILL)
        ini.set("printer", "port", "COM2")
        self.assertEqual(ini.content(), TILL.replace(b"COM1", b"COM2"))
