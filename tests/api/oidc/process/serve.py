"""Canaille, an OpenID Connect provider, on a port of its own; told on standard input who there is, which keys sign."""

import json
import socket
import sys
import threading

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from werkzeug.serving import make_server

listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen(64)
port = listening.getsockname()[1]
app = create_app(
    {
        "SECRET_KEY": "only of a test",
        "SERVER_NAME": f"127.0.0.1:{port}",
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {"DATABASE": "memory", "LOGGING": None},
        "CANAILLE_OIDC": {"ACTIVE_JWKS": json.loads(sys.stdin.readline())},
    }
)


def change(what):
    """Users, groups and clients that are new or different; keys that sign from now on."""
    if "keys" in what:
        app.config["CANAILLE_OIDC"]["ACTIVE_JWKS"] = what["keys"]
    with app.app_context(), Backend.instance.session():
        for name, password in what.get("users", {}).items():
            user = models.User(user_name=name, family_name=name, formatted_name=name.title(), password=password)
            user.emails = [f"{name}@example.org"]
            Backend.instance.save(user)
        for name, members in what.get("groups", {}).items():
            group = Backend.instance.get(models.Group, display_name=name) or models.Group(display_name=name)
            group.members = [Backend.instance.get(models.User, user_name=member) for member in members]
            Backend.instance.save(group)
        for name, secret in what.get("clients", {}).items():
            client = models.Client(client_id=name, client_secret=secret, client_name=name)
            client.grant_types, client.scope = ["password"], ["openid", "profile", "groups"]
            client.redirect_uris, client.client_uri = ["http://127.0.0.1/back"], "http://127.0.0.1"
            client.token_endpoint_auth_method = "client_secret_basic"
            client.id_token_signed_response_alg = "RS256"
            Backend.instance.save(client)
            client.audience = [client]
            Backend.instance.save(client)


server = make_server("127.0.0.1", port, app, threaded=True, fd=listening.fileno())
threading.Thread(target=server.serve_forever, daemon=True).start()
print(port, flush=True)
for line in sys.stdin:
    change(json.loads(line))
    print("done", flush=True)
