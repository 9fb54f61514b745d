"""A main project: keys of its own, tokens signed with them, and a real server that publishes them."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

Message = MutableMapping[str, Any]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class JwksServer:
    """Publishes what ``published`` holds, in the way that ``answer`` says; counts who asks."""

    def __init__(self) -> None:
        self.published: list[Any] = []
        self.asked = 0
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: bytes | None = None  # instead of the keys
        self.hangs = False
        self.url = ""

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        assert scope["path"] == "/auth/v1/.well-known/jwks.json"
        self.asked += 1
        if self.hangs:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        body = json.dumps({"keys": self.published}).encode() if self.body is None else self.body
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(server: JwksServer) -> AsyncIterator[None]:
    """Serve it on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        running = uvicorn.Server(
            uvicorn.Config(server, lifespan="off", ws="none", http="h11", log_config=None)
        )
        task = asyncio.create_task(running.serve(sockets=[listening]))
        try:
            yield
        finally:
            running.should_exit = running.force_exit = True
            with suppress(asyncio.CancelledError):
                await task


def make_key(algorithm: str = "ES256") -> PrivateKey:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def as_jwk(key: PrivateKey, key_id: str) -> dict[str, Any]:
    """Its public half, as Supabase publishes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        algorithm = "RS256"
    else:
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        algorithm = "ES256"
    return {**public, "kid": key_id, "alg": algorithm, "use": "sig", "key_ops": ["verify"]}


def claims(server: JwksServer, user_id: UUID, **other: Any) -> dict[str, Any]:
    """What Supabase Auth says of a user who has just signed in; None takes a claim away."""
    now = int(time.time())
    made = {
        "sub": str(user_id),
        "aud": "authenticated",
        "role": "authenticated",
        "iss": f"{server.url}/auth/v1",
        "iat": now,
        "exp": now + 3600,
        "email": "olga@example.com",
        "app_metadata": {"provider": "email"},
        "user_metadata": {},
        "session_id": "7e3b1c2e-0000-4000-8000-000000000000",
        "aal": "aal1",
        "is_anonymous": False,
        **other,
    }
    return {name: value for name, value in made.items() if value is not None}


def signed(payload: dict[str, Any], key: Any, key_id: str | None, algorithm: str = "ES256") -> str:
    return jwt.encode(
        payload, key, algorithm=algorithm, headers=None if key_id is None else {"kid": key_id}
    )
