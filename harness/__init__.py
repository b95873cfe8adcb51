"""Seatrial: end-to-end deployment tests for model-scoring services on Kubernetes."""
