"""What happens to a database beside its store: statements of another hand, and time that passes."""

import asyncio

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

INSTANTS = ("created_at", "run_at", "lease_until", "finished_at")


async def run(database_url: str, *statements: str) -> None:
    def all_of_them() -> None:
        engine = create_engine(make_url(database_url.replace("postgresql:", "postgresql+psycopg:")))
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    await asyncio.to_thread(all_of_them)


async def pass_time(database_url: str, seconds: float = 60.0) -> None:
    """For every job: what the store compares with its clock was so much longer ago, or comes so much sooner."""
    moved = ", ".join(f"{instant} = {instant} - {seconds}" for instant in INSTANTS)
    await run(database_url, f"UPDATE jobs SET {moved}")


async def slowed(postgres_url: str, what: str, *, seconds: float) -> None:
    """From now on each statement that does so to a job takes that long, and whoever may run beside it does."""
    await run(
        postgres_url,
        f"""CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END'""",
        f"CREATE TRIGGER slow BEFORE {what} ON jobs FOR EACH ROW EXECUTE FUNCTION take_time()",
    )
