"""Spalten für das Terminal."""


def breite(text: str) -> int:
    """Wie viele Spalten ein Text im Terminal einnimmt."""
    return len(text)


def tabelle(zeilen: list[tuple[str, str]]) -> str:
    """Zwei Spalten, die linke so breit wie ihr längster Text."""
    spalte = max((breite(links) for links, _ in zeilen), default=0)
    return "\n".join(links + " " * (spalte - breite(links)) + " │ " + rechts for links, rechts in zeilen)
