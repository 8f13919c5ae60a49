class BrokerUnavailable(Exception):
    """The message broker does not take or give messages now. The message is one sentence for an
    operator."""
