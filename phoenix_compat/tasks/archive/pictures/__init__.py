"""Checks pictures that clients send, removes their metadata, and turns them upright.

Thumbnails of outputs are in `thumbnail`. Start with `prepare`.
"""
