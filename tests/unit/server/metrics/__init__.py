"""The numbers of the server: families, their text, and the timers behind them."""
