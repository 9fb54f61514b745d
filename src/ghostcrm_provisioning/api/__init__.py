"""The admin API: JSON over HTTP."""
