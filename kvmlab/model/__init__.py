"""What happens on the host, at each event, under the kernel's own function names."""
