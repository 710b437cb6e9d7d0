"""Pure: what people read on GitHub and in the browser."""
