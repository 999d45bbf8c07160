"""What two experiments share: configurations, data, training, result files."""
