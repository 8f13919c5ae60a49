"""The interfaces that the use cases need, one Protocol per file."""
