"""Container images: built, tagged by content, pushed, pulled and made present on nodes."""
