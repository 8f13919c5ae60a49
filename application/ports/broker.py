from application.ports.diagnosis import DiagnosedFailure


class BrokerUnavailable(DiagnosedFailure):
    """The message broker cannot be used now. The message is one sentence for an operator."""
