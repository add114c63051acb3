"""The network of the site as pages and the API show it: the twin's view beside the readings."""
