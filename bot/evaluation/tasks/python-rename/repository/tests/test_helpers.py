import unittest

from shop.helpers import fmt, parse
from shop.invoice import invoice
from shop.till import change


class MoneyTest(unittest.TestCase):
    def test_amounts_in_words(self):
        self.assertEqual(fmt(123456, "EUR"), "€1,234.56")
        self.assertEqual(fmt(-5, "USD"), "-$0.05")
        self.assertEqual(fmt(5000, "JPY"), "¥5,000")

    def test_typed_amounts(self):
        self.assertEqual(parse("1,234.5", "EUR"), 123450)

    def test_an_invoice(self):
        self.assertEqual(invoice([("tea", 2, 150)], "EUR"), "2 x tea: €3.00\nTotal: €3.00")

    def test_change(self):
        self.assertEqual(change(1250, "20", "GBP"), "£7.50 back")
