"""When is an update of comment and check run due?"""

MIN_SECONDS_BETWEEN_UPDATES = 10.0  # two writes in 10 s stay far below GitHub's 80 content writes a minute
PART_OF_AGE = 10  # half an hour then takes 80 of GitHub's 500 content writes an hour, and not 360


def seconds_until_due(*, seconds_since_last: float, age_s: float, finished: bool) -> float:
    """The last state is due at once, another one when the last update is as old as a tenth of the run (`age_s`)."""
    return 0.0 if finished else max(MIN_SECONDS_BETWEEN_UPDATES, age_s / PART_OF_AGE) - seconds_since_last
