"""The system behind the mini-program: rules, use cases, storage, integrations."""
