"""Kubernetes clusters behind one protocol: made by kind, or already there."""
