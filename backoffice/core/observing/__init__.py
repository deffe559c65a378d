"""Watching the running product: logs, traces, metrics, health."""
