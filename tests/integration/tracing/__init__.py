"""Traces of tasks, in a receiver of OTLP."""
