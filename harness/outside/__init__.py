"""What a deployment expects outside its cluster, served locally."""
