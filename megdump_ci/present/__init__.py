"""Reporters: pure functions of the report, and the console that shows a run."""
