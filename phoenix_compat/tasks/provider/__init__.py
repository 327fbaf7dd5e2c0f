"""The provider of predictions: the seam, Replicate behind it, its webhooks and its fallback models.

Start with `provider`. A second provider would be a second implementation of that protocol.
"""
