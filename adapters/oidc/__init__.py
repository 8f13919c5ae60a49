"""OpenID Connect: operators who come with a provider's tokens."""
