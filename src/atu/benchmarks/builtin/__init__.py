"""The benchmark that ships with the package: common knowledge that a model of 135M parameters has."""
