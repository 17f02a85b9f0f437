"""What other programs import to record what they did."""
