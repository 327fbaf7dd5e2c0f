"""Outputs as they come: texts while they are written, and pictures one by one."""
