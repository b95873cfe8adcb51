"""Programs and images: one list of sources tried in order, the first answer wins."""
