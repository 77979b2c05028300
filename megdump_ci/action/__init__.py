"""The door of the container action: the only room that knows GitHub."""
