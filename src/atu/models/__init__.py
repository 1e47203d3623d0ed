"""Language models: loading, the forward up to the hook layer, export."""
