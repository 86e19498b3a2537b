module slimgate.dev/tests/oracles/tar

go 1.26.0

require slimgate.dev/tests/oracles/ask v0.0.0

replace slimgate.dev/tests/oracles/ask => ../ask
