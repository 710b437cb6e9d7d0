"""`backspace run`: the agent on a local checkout."""
