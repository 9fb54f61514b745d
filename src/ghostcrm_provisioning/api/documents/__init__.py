"""The answers of the API as models, for ``/openapi.json``."""
