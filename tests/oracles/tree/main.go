// The file system that containerd's own code and the kernel make of layers.
//
// A question is the layers' tars, oldest first, each after four bytes of its length (big endian).
// The answer has three trees, or the error that the pull would have ended with:
//
//   - "naive": every layer applied onto one folder (native snapshotter, user namespaces);
//   - "overlay": as core/diff/apply/apply_linux.go does it for the overlay snapshotter, and then
//     mounted: what the kernel shows a container;
//   - "parallel": the same with max_concurrent_unpacks > 1, where layers do not know their parents.
//
// It works in a mount namespace of its own, within a tmpfs that it has made its root: names that
// lead out of a layer find an empty host, and nothing is left when it ends. An empty question is
// answered with whether this machine lets it.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"slimgate.dev/tests/oracles/ask"
)

const (
	inside = "inside"
	home   = "/node/snapshots"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == inside {
		serve()
		return
	}
	os.Exit(isolated())
}

// isolated runs this program again, in a mount namespace of its own.
func isolated() int {
	if os.Geteuid() != 0 {
		return refuse(errors.New("needs root: owners, devices, mounts"))
	}
	child := exec.Command("/proc/self/exe", inside)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	// The signal comes when the thread that started the child ends, not only the process.
	runtime.LockOSThread()
	var ended *exec.ExitError
	if err := child.Run(); errors.As(err, &ended) {
		return ended.ExitCode()
	} else if err != nil {
		return refuse(fmt.Errorf("no mount namespace: %w", err))
	}
	return 0
}

// refuse answers every question with why there will be no answers.
func refuse(why error) int {
	ask.Serve(func([]byte) any { return map[string]any{"unavailable": why.Error()} })
	return 0
}

func serve() {
	syscall.Umask(0o022) // as a service has it
	log.L.Logger.SetOutput(io.Discard)
	if err := enter(); err != nil {
		refuse(err)
		return
	}
	ask.Serve(answer)
}

// enter makes an empty tmpfs the root, and tries what every question needs.
func enter() error {
	top := os.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts cannot be made private: %w", err)
	}
	if err := unix.Mount("tmpfs", top, "tmpfs", 0, "mode=0755,size=256m"); err != nil {
		return fmt.Errorf("no tmpfs: %w", err)
	}
	if err := unix.Chroot(top); err != nil {
		return fmt.Errorf("no chroot: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	tried := overlay([][]byte{empty, empty}, true)
	if tried.Error != "" {
		return fmt.Errorf("no overlayfs: %s", tried.Error)
	}
	return nil
}

var empty = make([]byte, 1024) // a tar of nothing

func answer(question []byte) any {
	if len(question) == 0 {
		return map[string]any{}
	}
	var layers [][]byte
	for rest := question; len(rest) > 0; {
		size := binary.BigEndian.Uint32(rest)
		layers = append(layers, rest[4:4+size])
		rest = rest[4+size:]
	}
	return map[string]any{
		"naive": naive(layers), "overlay": overlay(layers, true), "parallel": overlay(layers, false),
	}
}

// tree is what came of it. Lists, as a thousand entries have no need for as many names of fields.
type tree struct {
	Error   string   `json:"error,omitempty"`
	Entries [][]any  `json:"entries"`
	Hidden  [][]byte `json:"hidden,omitempty"` // listed by readdir, and not there for stat
}

func naive(layers [][]byte) tree {
	return within(func() (tree, error) {
		root := filepath.Join(home, "naive")
		if err := os.Mkdir(root, 0o755); err != nil {
			return tree{}, err
		}
		for index, layer := range layers {
			if _, err := archive.Apply(context.Background(), root, bytes.NewReader(layer)); err != nil {
				return tree{}, fmt.Errorf("layer %d: %w", index, err)
			}
		}
		return listed(root)
	})
}

// overlay applies as containerd does: the first layer comes on a bind mount, so without a
// conversion; the others with one, and knowing their parents, newest first.
func overlay(layers [][]byte, parents bool) tree {
	return within(func() (tree, error) {
		var folders []string
		for index, layer := range layers {
			folder := filepath.Join(home, fmt.Sprint(index))
			if err := os.Mkdir(folder, 0o755); err != nil {
				return tree{}, err
			}
			var options []archive.ApplyOpt
			if index > 0 {
				options = append(options, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
				if parents {
					options = append(options, archive.WithParents(folders))
				}
			}
			_, err := archive.Apply(context.Background(), folder, bytes.NewReader(layer), options...)
			if err != nil {
				return tree{}, fmt.Errorf("layer %d: %w", index, err)
			}
			folders = append([]string{folder}, folders...)
		}
		return mounted(folders)
	})
}

// mounted shows the folders, newest first, as a container sees them: under a folder of its own.
func mounted(folders []string) (found tree, err error) {
	upper, work, top := home+"/upper", home+"/work", home+"/merged"
	for _, folder := range []string{upper, work, top} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return tree{}, err
		}
	}
	options := fmt.Sprintf(
		"index=off,lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(folders, ":"), upper, work)
	if err := unix.Mount("overlay", top, "overlay", 0, options); err != nil {
		return tree{}, fmt.Errorf("mount: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(top, 0)) }()
	return listed(top)
}

// within gives a clean folder, and takes an error for the answer.
func within(apply func() (tree, error)) tree {
	err := os.MkdirAll(home, 0o755)
	defer os.RemoveAll(home)
	if err != nil {
		panic(err)
	}
	found, err := apply()
	if err != nil {
		return tree{Error: strings.ReplaceAll(err.Error(), home, "")}
	}
	return found
}

// listed is everything below top.
func listed(top string) (tree, error) {
	found := tree{Entries: [][]any{}}
	todo := []string{""}
	for len(todo) > 0 {
		folder := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below, err := os.Open(top + folder)
		if err != nil {
			return tree{}, err
		}
		names, err := below.Readdirnames(-1)
		below.Close()
		if err != nil {
			return tree{}, err
		}
		for _, name := range names {
			path := folder + "/" + name
			entry, isFolder, err := described(top, path)
			if errors.Is(err, os.ErrNotExist) {
				found.Hidden = append(found.Hidden, []byte(path[1:]))
				continue
			} else if err != nil {
				return tree{}, err
			}
			found.Entries = append(found.Entries, entry)
			if isFolder {
				todo = append(todo, path)
			}
		}
	}
	return found, nil
}

var kinds = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "symlink",
	unix.S_IFCHR: "char", unix.S_IFBLK: "block", unix.S_IFIFO: "fifo",
}

// described is path, type, mode, uid, gid, size, sha256, link, inode, device number, capabilities.
func described(top, path string) ([]any, bool, error) {
	full := top + path
	var stat unix.Stat_t
	if err := unix.Lstat(full, &stat); err != nil {
		return nil, false, err
	}
	kind := stat.Mode & unix.S_IFMT
	entry := []any{
		[]byte(path[1:]), kinds[kind], stat.Mode & 0o7777, stat.Uid, stat.Gid,
		0, "", []byte{}, stat.Ino, stat.Rdev, false,
	}
	switch kind {
	case unix.S_IFREG:
		body, err := os.ReadFile(full)
		if err != nil {
			return nil, false, err
		}
		digest := sha256.Sum256(body)
		entry[5], entry[6] = len(body), hex.EncodeToString(digest[:])
		_, err = unix.Lgetxattr(full, "security.capability", nil)
		entry[10] = err == nil
	case unix.S_IFLNK:
		target, err := os.Readlink(full)
		if err != nil {
			return nil, false, err
		}
		entry[7] = []byte(target)
	}
	return entry, kind == unix.S_IFDIR, nil
}
