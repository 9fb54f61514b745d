"""The dashboard, over HTTP and without a browser."""
