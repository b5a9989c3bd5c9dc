"""The fakes of the ports, for tests of nvsx and of what is built on it."""
