"""PostgreSQL and SQLite behind the ports, by SQLAlchemy Core."""
