"""Many hosts: their classes, the desk's folder, ansible-runner behind one call, the report."""
