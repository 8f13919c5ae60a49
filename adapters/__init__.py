"""One folder a technology. Each class here fits a port of the application; none inherits it."""
