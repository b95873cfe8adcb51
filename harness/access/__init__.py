"""Ways from the test to a deployed service."""
