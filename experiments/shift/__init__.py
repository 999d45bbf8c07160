"""What networks with dropout say about data unlike those that they were trained on."""
