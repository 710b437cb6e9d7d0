"""Settings from defaults, a JSON file and the environment, the later over the earlier."""

from settings.loading import load

__all__ = ["load"]
