"""Pure: what was asked, and may it run?"""
