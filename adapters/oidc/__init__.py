"""OpenID Connect: operators with tokens of a provider."""
