"""Ways of making an artifact from package registries, one module per recipe kind."""
