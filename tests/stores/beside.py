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
