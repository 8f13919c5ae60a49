"""The use cases, one per file. They depend on the domain and the ports, and on no technology."""
