"""The keys of gRPC's metadata, which is sent beside the messages."""

# The client sends the id of its request, and the API returns it with an error.
REQUEST_ID = "x-request-id"
# With each error from the API.
STATUS_DETAILS = "grpc-status-details-bin"
# With each error from the API: the API's clock, in decimal Unix seconds.
UNIX_TIME = "manmanv2-unix-time"
