"""How good retrieval is: golden questions and the usual figures."""
