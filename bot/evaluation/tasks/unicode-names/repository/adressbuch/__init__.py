"""Ein kleines Adressbuch: Namen finden, sortieren und in Spalten zeigen."""

from adressbuch.suche import finde, sortiert
from adressbuch.tabelle import tabelle

__all__ = ["finde", "sortiert", "tabelle"]
