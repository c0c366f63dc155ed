"""What the Python client asks, under which it runs the unchanged kernel."""
