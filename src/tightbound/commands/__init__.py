"""What the commands do; ``cli`` only reads arguments."""
