"""The pytest plugin: hooks and fixtures, wiring only."""
