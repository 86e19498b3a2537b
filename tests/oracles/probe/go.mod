module slimgate.dev/tests/oracles/probe

go 1.26.0
