"""HTTP manners shared by all handlers: authentication, problem+json, typed operations, OpenAPI."""
