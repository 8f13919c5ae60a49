"""What Prometheus scrapes. Our use cases and ports are measured from outside, by wrapping them."""
