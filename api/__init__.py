"""How people reach it: routes over HTTP."""
