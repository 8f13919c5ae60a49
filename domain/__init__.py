"""The rules. Standard library only; time, randomness and settings come in as arguments."""
