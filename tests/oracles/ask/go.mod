module slimgate.dev/tests/oracles/ask

go 1.26.0
