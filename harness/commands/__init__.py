"""Argv builders and output parsers of the programs Seatrial drives; nothing here runs anything."""
