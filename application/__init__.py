"""The use cases, one a file. They know the domain and the ports, no technology."""
