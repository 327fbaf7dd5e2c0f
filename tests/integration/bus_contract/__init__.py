"""What every bus promises, on every engine. `engines` has one entry for each; start there."""
