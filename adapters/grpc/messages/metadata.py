"""What travels beside the messages, by the names that gRPC's metadata has."""

# From the client: what it calls its request; with an error also back.
REQUEST_ID = "x-request-id"
# With every error of ours.
STATUS_DETAILS = "grpc-status-details-bin"
# With every error of ours: the API's clock, in decimal Unix seconds.
UNIX_TIME = "manmanv2-unix-time"
