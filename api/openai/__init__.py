"""OpenAI's protocol on top of turns: what its SDKs send becomes a turn, and the turn's stream becomes their chunks."""
