"""What commands need to work with a running server: its address, a credential, and its HTTP API.

`access` finds the first two, `api` sends requests.
"""
