"""One directory per technology. Each class fits a port of the application without inheriting from
it."""
