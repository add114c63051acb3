"""How far values can be trusted: streaming and slow tests, scores, flow by source."""
