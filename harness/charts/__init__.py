"""Charts under regression: what changed, and whether it still holds before any cluster is asked."""
