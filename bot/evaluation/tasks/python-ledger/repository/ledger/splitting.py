"""Dividing an amount by weights."""


def split(cents: int, weights: list[int]) -> list[int]:
    """Whole cents for each weight, in their order.

    >>> split(100, [1, 1])
    [50, 50]
    """
    if not weights or any(weight < 0 for weight in weights) or sum(weights) == 0:
        raise ValueError("weights must be positive")
    total = sum(weights)
    return [round(cents * weight / total) for weight in weights]
