"""``megdump.toml``: the models of a repository, what to do with each, and what has changed."""
