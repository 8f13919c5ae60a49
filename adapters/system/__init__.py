"""The machine that this process runs on: its clock, memory and CPU, files and service manager."""
