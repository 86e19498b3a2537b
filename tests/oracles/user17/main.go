// As whom containerd 1.7.26 runs a container: the last version before CVE-2024-40635 was mended.
// The argument is a root file system to work in.
package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/containers"
	"github.com/containerd/containerd/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"slimgate.dev/tests/oracles/ask"
)

type userQuestion struct {
	User string `json:"user"`
	// The bytes of /etc/passwd; null is no such file.
	Passwd []byte `json:"passwd"`
}

func main() {
	root := os.Args[1]
	ask.Serve(func(question []byte) any {
		var asked userQuestion
		if err := json.Unmarshal(question, &asked); err != nil {
			return ask.Failed(err)
		}
		if err := lay(root, asked.Passwd); err != nil {
			return ask.Failed(err)
		}
		return run(root, asked.User)
	})
}

func lay(root string, passwd []byte) error {
	path := filepath.Join(root, "etc", "passwd")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if passwd == nil {
		return os.RemoveAll(path)
	}
	return os.WriteFile(path, passwd, 0o644)
}

func run(root, user string) any {
	spec := &specs.Spec{
		Root: &specs.Root{Path: root}, Linux: &specs.Linux{}, Process: &specs.Process{},
	}
	err := oci.WithUser(user)(context.Background(), nil, &containers.Container{}, spec)
	if err != nil {
		return ask.Failed(err)
	}
	return map[string]any{"uid": spec.Process.User.UID, "gid": spec.Process.User.GID}
}
