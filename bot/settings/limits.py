"""Settings of what jobs may cost, and of how many run at once."""

from bot.settings.values import Setting, number, whole

# With setup and checks inside the two hours that a sandbox lives; at E2B it lives one, as its users are told.
MOST_MINUTES = 90

LIMIT_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "BACKSPACE_BUDGET_USD",
        "budget_usd",
        "3.00",
        "Dollars one job may cost, at list price",
        number(0.01, 1000, "number of dollars"),
    ),
    Setting("BACKSPACE_TURNS", "turns", "60", "Turns of the model one job may have", whole(1, 500)),
    Setting(
        "BACKSPACE_MINUTES",
        "minutes",
        "30",
        "and minutes, 90 at most (with E2B below 50: its sandboxes live an hour); one run of `test` may take half of "
        "them, 10 at least",
        whole(1, MOST_MINUTES),
    ),
    Setting(
        "BACKSPACE_REPO_USD_PER_DAY",
        "repo_usd_per_day",
        "30",
        "Dollars all jobs of one repository may cost on one day (UTC)",
        number(0.01, 100_000, "number of dollars"),
    ),
    Setting(
        "BACKSPACE_INSTALLATION_USD_PER_DAY",
        "installation_usd_per_day",
        "100",
        "and all jobs of one installation",
        number(0.01, 100_000, "number of dollars"),
    ),
    Setting(
        "BACKSPACE_CONCURRENCY",
        "concurrency",
        "2",
        "Jobs that run at once, in all processes that share the database",
        whole(1, 64),
    ),
    Setting(
        "BACKSPACE_CONCURRENCY_PER_INSTALLATION",
        "concurrency_per_installation",
        "2",
        "and for one installation of the App",
        whole(1, 64),
    ),
    Setting(
        "BACKSPACE_JOBS_PER_HOUR",
        "jobs_per_hour",
        "30",
        "Jobs an hour that one installation may ask for",
        whole(1, 10_000),
    ),
    Setting(
        "BACKSPACE_WORKERS",
        "workers",
        "1",
        "Worker processes that share the database; each keeps to its part of GitHub's limits",
        whole(1, 16),
    ),
)
