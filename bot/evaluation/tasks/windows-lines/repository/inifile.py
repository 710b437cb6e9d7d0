"""Reads and changes .ini files and keeps everything else in them as it is: comments, order, line ends."""

import re

SECTION = re.compile(r"\[(.+)\]")
ENTRY = re.compile(r"([^=;#]+)=(.*)")


class IniFile:
    def __init__(self, content: bytes) -> None:
        self._lines = content.decode("utf-8").split("\n")

    def get(self, section: str, key: str) -> str | None:
        """The value, or None when there is no such key."""
        place = self._find(section, key)
        if place is None:
            return None
        entry = ENTRY.match(self._lines[place])
        return entry[2] if entry else None

    def set(self, section: str, key: str, value: str) -> None:
        """Changes a value, or adds the key at the end of its section, or both at the end of the file."""
        place = self._find(section, key)
        if place is not None:
            self._lines[place] = f"{key}={value}"
            return
        end = self._end_of(section)
        if end is None:
            self._lines += [f"[{section}]", f"{key}={value}"]
        else:
            self._lines.insert(end, f"{key}={value}")

    def content(self) -> bytes:
        return "\n".join(self._lines).encode("utf-8")

    def _find(self, section: str, key: str) -> int | None:
        inside = None
        for place, line in enumerate(self._lines):
            if name := SECTION.match(line):
                inside = name[1]
            elif inside == section and (entry := ENTRY.match(line)) and entry[1] == key:
                return place
        return None

    def _end_of(self, section: str) -> int | None:
        inside, end = False, None
        for place, line in enumerate(self._lines):
            if name := SECTION.match(line):
                inside = name[1] == section
            if inside and line.strip():
                end = place + 1
        return end
