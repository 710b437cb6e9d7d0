"""The durable store: deliveries, jobs, journals and events, on SQLite or Postgres."""

from bot.stores.claims import QueueLimits
from bot.stores.opening import open_store
from bot.stores.retention import Retention
from bot.stores.store import Store

__all__ = ["QueueLimits", "Retention", "Store", "open_store"]
