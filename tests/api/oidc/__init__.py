"""People who come with tokens of an OpenID Connect issuer."""
