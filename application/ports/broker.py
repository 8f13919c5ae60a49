class BrokerUnavailable(Exception):
    """The message broker cannot be used now. The message is one sentence for an operator."""
