"""REST API of the knowledge base and the chat."""
