"""What happened in a run, collected and written down."""
