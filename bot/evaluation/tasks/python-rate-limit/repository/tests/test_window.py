import unittest

from throttle import SlidingWindow


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class WindowTest(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()
        self.window = SlidingWindow(2, 10, clock=self.clock)

    def test_the_limit_holds(self):
        self.assertEqual([self.window.hit("a").allowed for _ in range(3)], [True, True, False])

    def test_keys_do_not_share_a_limit(self):
        self.window.hit("a")
        self.window.hit("a")
        self.assertTrue(self.window.hit("b").allowed)

    def test_the_window_moves_on(self):
        self.window.hit("a")
        self.clock.now += 11
        self.assertEqual(self.window.hit("a").remaining, 1)

    def test_knocking_while_refused_costs_nothing(self):
        for _ in range(3):
            self.window.hit("a")
        self.clock.now += 5
        self.window.hit("a")
        self.window.hit("a")
        self.clock.now += 6
        self.assertTrue(self.window.hit("a").allowed)
