"""Time series for ParaView."""
