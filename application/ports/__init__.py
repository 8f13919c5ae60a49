"""What the use cases need of the world, one Protocol a file."""
