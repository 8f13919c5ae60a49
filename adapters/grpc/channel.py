"""Options of the channels that we open."""

# A control plane is reached directly: else calls, to this machine too, would go to the proxy that
# http_proxy names, which is there for other things.
DIRECT = (("grpc.enable_http_proxy", 0),)
