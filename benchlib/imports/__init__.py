"""History that was measured elsewhere or exported from another database: read, checked and stored."""
