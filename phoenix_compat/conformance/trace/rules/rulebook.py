"""Collects every rule by its id."""

from __future__ import annotations

from phoenix_compat.conformance.trace.rules import client_rules, server_rules, wire_rules
from phoenix_compat.conformance.trace.rules.rule import Rule

RULES: dict[str, Rule] = {
    rule.id: rule
    for module in (wire_rules, server_rules, client_rules)
    for rule in vars(module).values()
    if isinstance(rule, Rule)
}
