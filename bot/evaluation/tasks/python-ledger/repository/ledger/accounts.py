"""Entries move cents between accounts; every transaction sums to zero."""

from dataclasses import dataclass, field

from ledger.splitting import split


class Unbalanced(ValueError):
    """The entries of a transaction do not sum to zero."""


@dataclass
class Ledger:
    balances: dict[str, int] = field(default_factory=dict)
    history: list[tuple[str, dict[str, int]]] = field(default_factory=list)

    def post(self, text: str, entries: dict[str, int]) -> None:
        """Apply all entries or none."""
        total = sum(entries.values())
        if total != 0:
            raise Unbalanced(f"{text}: off by {total} cents")
        for account, cents in entries.items():
            self.balances[account] = self.balances.get(account, 0) + cents
        self.history.append((text, dict(entries)))

    def share(self, text: str, cents: int, *, paid_by: str, among: dict[str, int]) -> None:
        """`paid_by` paid for everybody in `among`, who owe by weight."""
        names = list(among)
        parts = split(cents, [among[name] for name in names])
        entries = {name: -part for name, part in zip(names, parts)}
        entries[paid_by] = entries.get(paid_by, 0) + cents
        self.post(text, entries)

    def owed(self) -> list[tuple[str, int]]:
        """Who owes most comes first; those who are even are left out."""
        rows = [(name, -cents) for name, cents in self.balances.items() if cents]
        return sorted(rows, key=lambda row: (-row[1], row[0]))
