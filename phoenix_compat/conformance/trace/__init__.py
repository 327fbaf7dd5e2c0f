"""Checks a recorded conversation against the protocol: which frame is wrong, who sent it, and why.

`frames` reads recordings, `checker` judges them, `rules` is what they are judged by.
"""
