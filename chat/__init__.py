"""Socket.IO: namespaces, delivery, hints between nodes."""
