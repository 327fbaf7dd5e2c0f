"""What an input asks a model for, whatever the model calls it: outputs, and less strict checks.

Start with `named_inputs`; `model_policy` has the rules.
"""
