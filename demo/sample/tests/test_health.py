import unittest

from liveliness.health import health


class HealthTest(unittest.TestCase):
    def test_every_part_is_listed(self):
        self.assertEqual(health({"web": True})["components"], {"web": True})


if __name__ == "__main__":
    unittest.main()
