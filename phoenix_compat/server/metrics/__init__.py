"""What the server measures about itself, as numbers; knows neither HTTP nor the other processes.

Start with `metrics`; `families` names the numbers, and `exposition` writes Prometheus's text.
"""
