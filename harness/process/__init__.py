"""Running other programs: a command value goes in, an outcome value comes out. The only room that starts processes."""
