"""What people read: the comparison table in its formats."""
