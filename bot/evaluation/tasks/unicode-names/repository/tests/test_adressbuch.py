import csv
import unittest
from pathlib import Path

from adressbuch import finde, sortiert, tabelle

DATEI = Path(__file__).parent.parent / "données" / "élèves.csv"
NAMEN = [zeile[0] for zeile in csv.reader(DATEI.read_text(encoding="utf-8").split("\n")) if zeile]


class AdressbuchTest(unittest.TestCase):
    def test_akzente_zaehlen_nicht(self):
        self.assertEqual(finde(NAMEN, "emile"), ["Émile"])
        self.assertEqual(finde(NAMEN, "ANGSTROM"), ["Ångström"])

    def test_wie_im_telefonbuch(self):
        self.assertEqual(sortiert(["Zoe", "Émile", "Ada"]), ["Ada", "Émile", "Zoe"])

    def test_spalten(self):
        self.assertEqual(tabelle([("a", "1"), ("bcd", "2")]), "a   │ 1\nbcd │ 2")
