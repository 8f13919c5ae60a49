"""The store in PostgreSQL or SQLite, with SQLAlchemy Core."""
