"""Is an update of comment and check run due now?"""

MIN_SECONDS_BETWEEN_UPDATES = 10.0  # two writes in 10 s stay far below GitHub's 80 content writes a minute


def due(*, seconds_since_last: float, finished: bool, changed: bool) -> bool:
    """The last state is always sent; nothing is sent twice."""
    return changed and (finished or seconds_since_last >= MIN_SECONDS_BETWEEN_UPDATES)
