import unittest

from ledger import Ledger, Unbalanced


class LedgerTest(unittest.TestCase):
    def test_a_transaction_must_sum_to_zero(self):
        with self.assertRaises(Unbalanced):
            Ledger().post("rent", {"ada": 100, "bob": -99})

    def test_an_even_share(self):
        book = Ledger()
        book.share("pizza", 3000, paid_by="ada", among={"ada": 1, "bob": 1, "cy": 1})
        self.assertEqual(book.balances, {"ada": 2000, "bob": -1000, "cy": -1000})

    def test_ten_cents_among_three(self):
        book = Ledger()
        book.share("sweets", 10, paid_by="ada", among={"ada": 1, "bob": 1, "cy": 1})
        self.assertEqual(sum(book.balances.values()), 0)


if __name__ == "__main__":
    unittest.main()
