"""The machine that we run on: its time, its figures, its files, its service manager."""
