"""`backspace eval`: tasks with a known good answer go through the whole bot, and hidden tests judge what came out."""
