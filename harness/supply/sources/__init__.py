"""Places a program may come from, one module each; the resolver asks them in order."""
