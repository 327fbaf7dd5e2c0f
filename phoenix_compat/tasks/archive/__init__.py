"""Output files: downloaded at once, checked, and stored under the hash of their content.

Start with `archive`; `content_store` is the folder on disk, `download` fetches from the provider.
"""
