"""What does not fit between a schedule and the run that it is meant for; may import what draws and all below."""
