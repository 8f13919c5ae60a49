"""The management port, for scrapers and probes."""
