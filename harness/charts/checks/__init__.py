"""One module per static check: a chart, its renders and what is known around it go in, findings come out."""
