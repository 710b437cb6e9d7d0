"""The names of version 1. Nobody outside uses them any more."""

from shop.helpers import fmt as money

__all__ = ["money"]
