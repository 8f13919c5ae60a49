"""The wire contract: the API's server and the clients' side of it."""
