"""The judge: asks probes of a model and turns answers into scores. Knows no method and no training."""
