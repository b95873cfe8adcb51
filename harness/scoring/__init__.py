"""Scoring requests, what they must answer, and what differs when they do not."""
