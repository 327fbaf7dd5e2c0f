"""The rules, as data: one constant for each, with its level and source. Start with `rule`.

The code that checks them is in the parent package.
"""
