package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"slimgate.dev/tests/oracles/ask"
)

type userQuestion struct {
	User string `json:"user"`
	// The bytes of /etc/passwd; null is no such file.
	Passwd []byte `json:"passwd"`
}

// What containerd is asked to run an image's user as, and as whom it does. The folder is a root
// file system to work in.
func userOn(folders []string) func([]byte) any {
	return func(question []byte) any {
		var asked userQuestion
		if err := json.Unmarshal(question, &asked); err != nil {
			return ask.Failed(err)
		}
		root := folders[0]
		if err := lay(root, asked.Passwd); err != nil {
			return ask.Failed(err)
		}
		user := throughKubelet(asked.User)
		return map[string]any{"asked": user, "runs": run(root, user)}
	}
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

// The three functions between an image's User and oci.WithUser are internal to their programs, and
// repeated here line by line: containerd's getUserFromImage (internal/cri/server/images), kubelet's
// getImageUser (pkg/kubelet/kuberuntime: neither means root), and containerd's GenerateUserString
// (internal/cri/util: the name wins).
func throughKubelet(user string) string {
	if user == "" {
		return "0"
	}
	user = strings.Split(user, ":")[0]
	uid, err := strconv.ParseInt(user, 10, 64)
	if err != nil {
		if user == "" {
			return "0"
		}
		return user
	}
	return strconv.FormatInt(uid, 10)
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
