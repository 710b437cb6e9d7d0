"""Namen finden und sortieren. Groß- und Kleinschreibung und Akzente zählen dabei nicht."""

import unicodedata


def schluessel(name: str) -> str:
    """Woran zwei Schreibweisen desselben Namens zu erkennen sind: »Zoë« und »ZOE« haben denselben."""
    zerlegt = unicodedata.normalize("NFD", name.lower())
    return "".join(zeichen for zeichen in zerlegt if ord(zeichen) < 128)


def finde(namen: list[str], gesucht: str) -> list[str]:
    """Alle Namen, in denen das Gesuchte vorkommt, in ihrer Reihenfolge."""
    return [name for name in namen if gesucht in name]


def sortiert(namen: list[str]) -> list[str]:
    """Wie im Telefonbuch; was gleich ist, bleibt in seiner Reihenfolge."""
    return sorted(namen)
