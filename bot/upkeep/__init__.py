"""What runs beside the jobs: missed deliveries, dead jobs, sandboxes nobody owns."""
