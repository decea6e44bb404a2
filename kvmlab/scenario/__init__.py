"""What is simulated: host, guests, workload, costs."""
