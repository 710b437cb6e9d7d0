import unittest

from api.prices import UnknownCurrency, price, total


class PricesTest(unittest.TestCase):
    def test_euros(self):
        self.assertEqual(price("19.99", "EUR"), {"currency": "EUR", "minor": 1999})

    def test_yen_have_no_cents(self):
        self.assertEqual(price("500", "JPY"), {"currency": "JPY", "minor": 500})

    def test_an_unknown_currency(self):
        with self.assertRaises(UnknownCurrency):
            price("1", "XXX")

    def test_totals(self):
        self.assertEqual(total([price("1", "EUR"), price("2.50", "EUR")]), {"currency": "EUR", "minor": 350})
